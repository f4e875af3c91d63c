"""Start the command line; `--version` answers before anything heavy is imported."""

from __future__ import annotations

import gc
import sys

from rmqsetup import __version__

_RARELY = 50_000
"""After how many new objects Python looks for garbage: what is imported stays, so looking is a tenth of `status`."""


def main() -> int:
    """Run the command line and return its exit code."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"rmqsetup {__version__}\n")
        return 0
    gc.set_threshold(_RARELY)
    from rmqsetup.cli import main as carry_out

    return carry_out(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
