"""Working days of mainland China, for the deadlines of the sharing measures."""

from datetime import date, timedelta

import chinese_calendar


def is_working_day(day: date) -> bool:
    """Return whether people work that day: holidays are off, make-up weekends are not.

    The State Council announces a year's holidays in the autumn before; a year the calendar does not know yet counts
    Monday to Friday, so a deadline in it may move a little later once the announcement is there.
    """
    try:
        return bool(chinese_calendar.is_workday(day))
    except NotImplementedError:
        return day.weekday() < 5


def add_working_days(day: date, number: int) -> date:
    """Return the day that is so many working days after a day; the day itself does not count."""
    while number > 0:
        day += timedelta(days=1)
        number -= is_working_day(day)
    return day
