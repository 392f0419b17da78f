"""Which day and hour things happen: working week, holidays, festivals, and the files a history is cut into."""

from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

import chinese_calendar
import numpy as np

SHANGHAI = np.timedelta64(8, "h")  # China has had no summer time since 1991

# Share of a week's declarations by weekday, Monday first (measured on the KCS set, customs-domain page).
WEEKDAY_SHARES = np.array([0.286, 0.186, 0.158, 0.157, 0.159, 0.033, 0.021])
# Share by hour of the office day: two peaks around lunch (assumed: no published figure).
DECLARATION_HOURS = np.array(
    [3, 2, 1, 1, 1, 2, 5, 15, 55, 100, 110, 95, 45, 60, 105, 110, 100, 75, 40, 25, 18, 12, 8, 5], dtype=float
)
# Shoppers buy in the evening (assumed; customs-domain page: 20-24).
ORDER_HOURS = np.array([48, 22, 10, 6, 5, 6, 10, 18, 28, 38, 45, 48, 52, 48, 46, 48, 50, 52, 56, 68, 95, 110, 105, 80])
# Multiples of a plain day. 1,417 lists a second at the peak against a mean of 222 is 6.4 on a whole day of the year.
FESTIVALS = {
    (6, 16): 2.0,
    (6, 17): 3.0,
    (6, 18): 6.0,
    (6, 19): 2.0,
    (10, 31): 2.5,
    (11, 1): 3.5,
    (11, 10): 3.5,
    (11, 11): 9.0,
    (11, 12): 2.5,
    (12, 11): 1.8,
    (12, 12): 4.0,
    (3, 8): 2.0,
    (1, 1): 1.4,
}


@dataclass(frozen=True)
class Period:
    """A stretch of business days whose messages lie in one file per feed.

    ``landed_on`` names the folder; ``stamp`` the file: YYYYMM for history, YYYYMMDD for a daily file.
    """

    first: date
    last: date
    landed_on: date
    stamp: str

    @property
    def days(self) -> list[date]:
        """Every day of the period."""
        return [self.first + timedelta(n) for n in range((self.last - self.first).days + 1)]


def periods(first: date, last: date, daily: int) -> list[Period]:
    """Cut first … last into calendar months, and the last ``daily`` days into days of their own."""
    cut: list[Period] = []
    day, history_end = first, last - timedelta(days=daily)
    while day <= history_end:
        month_end = (day.replace(day=1) + timedelta(days=32)).replace(day=1) - timedelta(days=1)
        end = min(month_end, history_end)
        cut.append(Period(day, end, end, f"{day:%Y%m}"))
        day = end + timedelta(days=1)
    while day <= last:
        cut.append(Period(day, day, day, f"{day:%Y%m%d}"))
        day += timedelta(days=1)
    return cut


def _is_day_off(day: date) -> bool:
    try:
        return chinese_calendar.is_holiday(day)
    except NotImplementedError:  # the package knows announced years only
        return day.weekday() >= 5


def declaration_weight(day: date) -> float:
    """Return a day's share of work relative to a mean day: weekday, public holiday, make-up day, season."""
    weight = WEEKDAY_SHARES[day.weekday()] * 7
    if day.weekday() < 5 and _is_day_off(day):
        weight *= 0.12
    elif day.weekday() >= 5 and not _is_day_off(day):
        weight = 0.9
    season = 1 + 0.06 * np.sin(2 * np.pi * (day.timetuple().tm_yday - 100) / 365.25)
    return float(weight * season)


def order_weight(day: date) -> float:
    """Return a day's share of e-commerce orders relative to a plain day."""
    festival = FESTIVALS.get((day.month, day.day), 1.0)
    if (day.month, day.day) > (11, 1) and (day.month, day.day) < (11, 10):
        festival = 1.6
    return festival * (1.08 if day.weekday() >= 5 else 0.97)


def business_days(at: np.ndarray) -> np.ndarray:
    """Return the Shanghai day of UTC instants."""
    return (at + SHANGHAI).astype("datetime64[D]")


@dataclass(frozen=True)
class Chunk:
    """Work for one pass: some days of a period, or, where a day is too much, a slice of one day.

    ``begin`` and ``end`` are shares of the day's work (0 … 1 in the order of the clock), so slices follow one another
    in time and everything before ``until`` (UTC) can be written.
    """

    period: Period
    days: tuple[date, ...]
    begin: float
    end: float
    until: np.datetime64

    @property
    def name(self) -> str:
        """Name of the chunk's random streams."""
        return f"{self.days[0]}/{self.begin:.6f}"


def chunks(period: Period, expected: dict[date, float], hours: np.ndarray, limit: int) -> list[Chunk]:
    """Cut a period so that no chunk is expected to hold more than ``limit`` rows."""
    cut: list[Chunk] = []
    days: list[date] = []
    total = 0.0

    def close(last: date) -> None:
        until = np.datetime64(last + timedelta(days=1), "s") - SHANGHAI
        cut.append(Chunk(period, tuple(days), 0.0, 1.0, until))
        days.clear()

    for day in period.days:
        if expected[day] > limit:
            if days:
                close(days[-1])
                total = 0.0
            slices = int(np.ceil(expected[day] / limit))
            edges = np.linspace(0, 1, slices + 1)
            for begin, end in pairwise(edges.tolist()):
                until = np.datetime64(day, "s") + _clock(np.array([end]), hours)[0] - SHANGHAI
                cut.append(Chunk(period, (day,), float(begin), float(end), until))
            continue
        if days and total + expected[day] > limit:
            close(days[-1])
            total = 0.0
        days.append(day)
        total += expected[day]
    if days:
        close(days[-1])
    return cut


def _clock(share: np.ndarray, hours: np.ndarray) -> np.ndarray:
    """Return the time of day by which a share of the day's work is done."""
    cumulated = np.concatenate([[0], np.cumsum(hours)]) / hours.sum()
    return np.floor(np.interp(share, cumulated, np.arange(25) * 3600.0)).astype("timedelta64[s]")


def spread(rng: np.random.Generator, chunk: Chunk, expected: dict[date, float], hours: np.ndarray) -> np.ndarray:
    """Draw the instants (UTC, sorted) of a chunk's rows: Poisson numbers a day, hours by their weights."""
    numbers = rng.poisson([expected[d] * (chunk.end - chunk.begin) for d in chunk.days])
    days = np.repeat(np.array(chunk.days, dtype="datetime64[s]"), numbers)
    share = chunk.begin + (chunk.end - chunk.begin) * rng.random(len(days))
    clock = np.minimum(_clock(share, hours), np.timedelta64(86_399, "s"))
    return np.sort(days + clock - SHANGHAI)
