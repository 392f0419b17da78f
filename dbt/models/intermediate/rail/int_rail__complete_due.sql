-- Two-step consignments whose complete declaration has not been accepted: when it is due and how many days late it is on
-- the newest day of the data. The same calendar as for every import: day 15 moves to the next working day.
with as_of as (
    select max(occurred_on) as as_of_on from {{ ref('stg_rail__milestone') }}
),

waiting as (
    select
        milestones.waybill_no,
        milestones.train_id,
        milestones.source_system,
        milestones.station_code,
        cast(milestones.m5_at at time zone '{{ var("office_time_zone") }}' as date) as arrived_on,
        as_of.as_of_on
    from {{ ref('int_rail__milestones') }} as milestones
    cross join as_of
    where milestones.is_two_step and milestones.m15_at is null and milestones.m5_at is not null
)

select
    waiting.*,
    calendar.next_working_day - 1 as deadline_on,
    calendar.next_working_day as fee_starts_on,
    greatest(0, waiting.as_of_on - calendar.next_working_day + 1) as late_days
from waiting
inner join {{ ref('parameters') }} as days
    on {{ parameter_valid_on('days', 'complete_declaration_days', 'waiting.arrived_on') }}
inner join {{ ref('int_reference__calendar') }} as calendar
    on calendar.calendar_date = waiting.arrived_on + cast(days.parameter_value as integer) + 1
