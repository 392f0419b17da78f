-- Every day with the next working day on or after it: deadlines that end on a holiday move to that day.
with days as (
    select cast(range as date) as calendar_date
    from range(date '2018-01-01', date '2031-01-01', interval 1 day)
),

known as (
    select
        days.calendar_date,
        coalesce(exceptions.is_working_day, isodow(days.calendar_date) < 6) as is_working_day,
        exceptions.occasion
    from days
    left join {{ ref('calendar_exceptions') }} as exceptions on days.calendar_date = exceptions.calendar_date
)

select
    calendar_date,
    is_working_day,
    occasion,
    min(case when is_working_day then calendar_date end)
        over (order by calendar_date rows between current row and 30 following) as next_working_day
from known
