"""Errors whose exit code is the interface between commands and the scheduler."""


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
