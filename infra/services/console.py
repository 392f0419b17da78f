"""Progress on standard error: numbered steps, a line as each thing ends, a spinner only on a terminal."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

console = Console(stderr=True, highlight=False, soft_wrap=True)


class Steps:
    """Numbers the steps of a long command."""

    def __init__(self, plan: list[tuple[str, int]]) -> None:
        self.plan = dict(plan)
        self.start = time.monotonic()
        self._number = 0

    def show_plan(self) -> None:
        """Print what is going to happen and how long it usually takes."""
        usual = ", ".join(f"{title.lower()} {seconds} s" for title, seconds in self.plan.items())
        console.print(
            f"Plan ({sum(self.plan.values()) / 60:.0f} min on two cores the first time): {usual}", style="dim"
        )

    def _head(self, title: str) -> str:
        self._number += 1
        return f"[{self._number}/{len(self.plan)}] {title}".replace("[", "\\[", 1)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Run a step; its time is printed when it ends."""
        console.print(f"{self._head(title)} …", style="bold")
        clock = time.monotonic()
        with console.status(title) if console.is_terminal else _nothing():
            yield
        console.print(f"      {time.monotonic() - clock:.0f} s (usual {self.plan[title]} s)", style="dim")

    def skip(self, title: str, why: str) -> None:
        """Print that a step was finished before."""
        console.print(f"{self._head(title)}: skipped ({why})")

    @property
    def elapsed(self) -> str:
        """Time since the first step, as people say it."""
        minutes, seconds = divmod(round(time.monotonic() - self.start), 60)
        return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def line(text: str) -> None:
    """Print a detail below the current step."""
    console.print(f"      {text}", markup=False)


def note(text: str) -> None:
    """Print a line of its own."""
    console.print(text, markup=False)
