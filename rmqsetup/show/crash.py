"""A mistake of our own as an error in words, its traceback kept in a file for whoever reports it.

Errors that have words already never come here.
"""

from __future__ import annotations

import os
import tempfile
import traceback

from rmqsetup import __version__
from rmqsetup.errors import RmqsetupError


def crash(error: Exception, *, verbose: bool) -> RmqsetupError:
    """Return the error to show: with the traceback when everything is wanted, else with the file it is in."""
    text = "".join(traceback.format_exception(error))
    summary = f"{type(error).__name__}: {error}".strip()
    message = f"rmqsetup {__version__} made a mistake of its own"
    if verbose:
        return RmqsetupError(message, cause=text.rstrip())
    try:
        handle, path = tempfile.mkstemp(prefix="rmqsetup-", suffix=".log")
        with os.fdopen(handle, "w") as stream:
            stream.write(text)
    except OSError:  # a full disk may be the very reason
        return RmqsetupError(message, cause=summary, hint="the same command with --verbose shows where")
    return RmqsetupError(message, cause=summary, looked_at=(f"{path} has the traceback",), hint="please report it")
