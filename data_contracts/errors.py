"""Errors of this room. They carry ``exit_code`` like the platform's own, which this room must not import."""


class ContractError(Exception):
    """A contract, layout, policy or code list is wrong: the message names file, field and remedy."""

    exit_code = 3


class UnknownContractError(ContractError):
    """Somebody asked for a contract, layout or code list that does not exist."""

    exit_code = 2
