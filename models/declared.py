"""What a model says about its inputs: tables, as-of rule, owner, columns."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DeclaredFeatures:
    """The inputs of one model.

    Attributes:
        name: feature set, table ``<lake>/features/<name>``, written by ``customs features build``.
        owner: who answers for the inputs.
        question: what the model answers, for its card.
        inputs: contracts the features are computed from.
        as_of_rule: what a row may know.
        key: columns that identify a row.
        time: day column rows are ordered and split by.
        label: 0/1 column, null while unknown.
        numeric: numeric inputs.
        categorical: category inputs.
        meta: columns carried along and never shown to the learner.
    """

    name: str
    owner: str
    question: str
    inputs: tuple[str, ...]
    as_of_rule: str
    key: tuple[str, ...]
    time: str
    label: str
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    meta: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns a training row needs."""
        return tuple(
            dict.fromkeys(
                (*self.key, "source_system", self.time, self.label, *self.meta, *self.numeric, *self.categorical)
            )
        )
