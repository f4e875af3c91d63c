"""Start the command line; `--version` answers before anything heavy is imported."""

from __future__ import annotations

import sys

from rmqsetup import __version__


def main() -> int:
    """Run the command line and return its exit code."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"rmqsetup {__version__}\n")
        return 0
    from rmqsetup.cli import main as carry_out

    return carry_out(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
