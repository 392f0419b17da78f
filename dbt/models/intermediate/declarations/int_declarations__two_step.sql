-- Two-step declarations, one row per summary whose goods items all landed (a barred item bars the summary): when each state
-- was reached, and until when the complete declaration is due. It is complete only when customs has accepted it.
-- Where the arrival is not known yet, it is the acceptance, which waits for it. Day 15 moves to the next working day.
with reached as (
    select
        declaration_no,
        min(occurred_at) filter (where status_code = '120') as summary_accepted_at,
        min(occurred_at) filter (where status_code = 'pickup_allowed') as pickup_allowed_at,
        max(occurred_at) filter (where status_code = 'complete_submitted') as complete_submitted_at,
        -- nothing is released before it is complete: a lost receipt does not keep it waiting
        coalesce(
            min(occurred_at) filter (where status_code = 'complete_accepted'),
            min(occurred_at) filter (where status_code = '800')
        ) as complete_accepted_at,
        bool_or(status_code = 'complete_returned') as was_returned
    from {{ ref('stg_declarations__declaration_event') }}
    group by declaration_no
),

items as (
    select
        first_step.declaration_no,
        count(*) as items_landed,
        count(*) filter (where left(second_step.hs_code, 6) <> first_step.hs6_code) as items_recoded
    from {{ ref('stg_declarations__summary_item') }} as first_step
    left join {{ ref('stg_declarations__complete_item') }} as second_step
        on
            first_step.declaration_no = second_step.declaration_no
            and first_step.item_no = second_step.item_no
    group by first_step.declaration_no
),

as_of as (
    select max(occurred_on) as as_of_on from {{ ref('stg_declarations__declaration_event') }}
),

known as (
    select
        summaries.declaration_no,
        items.items_recoded,
        reached.summary_accepted_at,
        coalesce(declarations.arrived_at, reached.summary_accepted_at) as arrived_at,
        reached.pickup_allowed_at,
        reached.complete_submitted_at,
        reached.complete_accepted_at,
        coalesce(reached.was_returned, false) as was_returned,
        as_of.as_of_on,
        cast(
            coalesce(declarations.arrived_at, reached.summary_accepted_at)
            at time zone '{{ var("office_time_zone") }}' as date
        ) as arrived_on,
        cast(reached.complete_accepted_at at time zone '{{ var("office_time_zone") }}' as date) as completed_on
    from {{ ref('stg_declarations__summary_declaration') }} as summaries
    inner join items
        on summaries.declaration_no = items.declaration_no and summaries.item_count = items.items_landed
    left join reached on summaries.declaration_no = reached.declaration_no
    left join {{ ref('stg_declarations__declaration') }} as declarations
        on summaries.declaration_no = declarations.declaration_no
    cross join as_of
)

select
    known.*,
    calendar.next_working_day - 1 as deadline_on,
    greatest(0, coalesce(known.completed_on, known.as_of_on) - calendar.next_working_day + 1) as late_days
from known
left join {{ ref('parameters') }} as days
    on {{ parameter_valid_on('days', 'complete_declaration_days', 'known.arrived_on') }}
left join {{ ref('int_reference__calendar') }} as calendar
    on calendar.calendar_date = known.arrived_on + cast(days.parameter_value as integer) + 1
