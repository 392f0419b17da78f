"""Errors whose exit code is the interface between commands and the scheduler."""

import sys
from collections.abc import Callable


class CustomsError(Exception):
    """Base error: the message is one sentence that names the thing and the remedy.

    ``exit_code`` is what the process returns: 1 bug, 2 bad arguments, 3 data failed its contract, 75 try again.
    """

    exit_code = 1


class BadArgumentsError(CustomsError):
    """A command was called with arguments or settings that cannot work."""

    exit_code = 2


class DataContractError(CustomsError):
    """Data failed its contract; a retry on the same data gives the same answer."""

    exit_code = 3


class TryAgainError(CustomsError):
    """A resource was busy or not up yet (EX_TEMPFAIL); the same call may succeed later."""

    exit_code = 75


def ended(action: Callable[[], object]) -> int:
    """Run a command's action; return 0, or the exit code of its error once that is told in one sentence.

    An error with an exit code is the platform's own, whichever room raised it; any other is a bug and is raised.
    """
    try:
        action()
    except Exception as error:
        code = getattr(error, "exit_code", None)
        if code is None:
            raise
        sys.stderr.write(f"customs: {error}\n")
        return code
    return 0
