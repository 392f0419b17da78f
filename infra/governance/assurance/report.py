"""The governance report: every measure taken on the running platform, kept, and told in figures and sentences."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from infra.runtime import audit
from infra.runtime.errors import BadArgumentsError
from infra.runtime.report import RunReport
from infra.runtime.settings import Settings

COMMAND = "governance report"
Progress = Callable[[str], None]
Measure = Callable[[Settings, Progress], Any]


@dataclass(frozen=True)
class Chain:
    """Whether the audit log is what was written: ``ok``, or the first place where it is not."""

    reason: str
    sentences: tuple[str, ...] = ()


# measure -> (its figures in the report, what a steward is told, whether it is as it must be)
_TOLD: Mapping[str, tuple[Callable[[Any], Any], str, Callable[[Any], bool]]] = {
    "columns": (
        lambda one: {"graded": one.graded, "total": one.total},
        "{graded} of {total} columns have grade and category",
        lambda told: told["graded"] == told["total"] > 0,
    ),
    "matrix": (
        lambda one: {"checked": one.checked, "failed": one.failed},
        "{checked} columns asked for as every role, {failed} not as the policy says",
        lambda told: told["failed"] == 0 < told["checked"],
    ),
    "canary_hits": (
        lambda one: one.hits,
        "{0} places outside the restricted zones hold restricted values",
        lambda told: told == 0,
    ),
    "mutation": (
        # a sample says of how many
        lambda one: {"killed": one.killed, "total": one.total} | ({"of": one.known} if one.known > one.total else {}),
        "{killed} of {total} weakened contracts noticed",
        lambda told: told["killed"] == told["total"] > 0,
    ),
    "bypass": (
        lambda one: {"blocked": one.blocked, "tried": one.tried},
        "{blocked} of {tried} ways round the role files blocked",
        lambda told: told["blocked"] == told["tried"] > 0,
    ),
    "audit": (lambda one: one.reason, "{0}", lambda told: told == "ok"),
}


@dataclass(frozen=True)
class Report:
    """``figures`` is what the command prints as JSON; ``sentences`` names per measure what is not as it must be."""

    figures: Mapping[str, Any]
    sentences: Mapping[str, list[str]]

    @property
    def failed(self) -> list[str]:
        """Names of the measures that are not complete, zero or 100 %."""
        return [name for name, (_, _, good) in _TOLD.items() if not good(self.figures[name])]

    def lines(self) -> list[str]:
        """Return the report for people: a line per measure, then what failed and where."""
        told = [f"Measured at {self.figures['measured_at']}"]
        failed = self.failed
        for name, (_, sentence, _) in _TOLD.items():
            value = self.figures[name]
            words = sentence.format(**value) if isinstance(value, dict) else sentence.format(value)
            if isinstance(value, dict) and "of" in value:
                words += f", a sample of {value['of']}"
            told.append(f"{'FAIL' if name in failed else 'ok':<5} {name:<12} {words}")
        for name in failed:
            told += ["", f"{name}:", *(f"  {sentence}" for sentence in self.sentences.get(name, ()))]
        return told


def chain(settings: Settings, progress: Progress) -> Chain:
    """Verify the audit log."""
    verdict = audit.verify(settings)
    progress(f"audit: {verdict.events:,} events of {verdict.days} days, {len(verdict.findings)} findings")
    return Chain(verdict.reason, tuple(found.sentence for found in verdict.findings))


def take(settings: Settings, measures: Mapping[str, Measure], progress: Progress) -> Report:
    """Take every measure now, keep the report, and record it in the audit log.

    Args:
        settings: platform settings.
        measures: the measures by their name in the report, in the order to take them; all but ``audit``.
        progress: receives the lines of the measures.

    Raises:
        CustomsError: a measure could not be taken; there is no report then, only the error.
    """
    with RunReport(COMMAND, settings) as run:
        taken = {"audit": chain(settings, progress)}
        for name, measure in measures.items():
            taken[name] = measure(settings, progress)
        figures = {name: figure(taken[name]) for name, (figure, _, _) in _TOLD.items()}
        report = Report(
            figures | {"measured_at": datetime.now(UTC).isoformat(timespec="seconds")},
            {name: list(one.sentences) for name, one in taken.items()},
        )
        run.figures |= {"report": report.figures, "found": report.sentences}
        audit.record("governance.measured", f"system:{COMMAND}", "platform", report.figures, settings=settings)
    return report


def latest(settings: Settings) -> Report:
    """Return the last report that was taken.

    Raises:
        BadArgumentsError: there is none yet.
    """
    folder = settings.reports / COMMAND.replace(" ", "_")
    for path in sorted(folder.glob("*.json"), reverse=True):
        kept = json.loads(path.read_text(encoding="utf-8"))
        # a run that stopped half-way has none
        if "report" in kept:
            return Report(kept["report"], kept["found"])
    raise BadArgumentsError(
        "Nothing was measured yet: run `customs governance report --fresh` while the services are up."
    )
