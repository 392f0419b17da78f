-- Time limits by month of the deadline, place and transport: met, late with the fee, still open, overdue.
with limits as (
    select
        {{ month_of('known.business_date') }} as business_date,
        known.source_system,
        known.limit_kind,
        -- what waits without a declaration is on the railway
        case
            when known.declaration_no is null then 'Rail transport'
            else coalesce(declarations.transport_mode, summaries.transport_mode)
        end as transport_mode,
        known.place,
        1 as records,
        known.limit_state,
        known.late_days,
        case when known.value_currency = 'CNY' then known.late_fee_amount end as late_fee_amount
    from {{ ref('fct_time_limit') }} as known
    left join {{ ref('fct_declaration') }} as declarations on known.declaration_no = declarations.declaration_no
    left join {{ ref('fct_two_step_declaration') }} as summaries on known.declaration_no = summaries.declaration_no
),

{{ merge_small_cells(
    'limits', keep=['business_date', 'source_system', 'limit_kind'], dimensions=['place', 'transport_mode'],
    records='records'
) }},

summed as (
    select
        business_date,
        source_system,
        limit_kind,
        transport_mode,
        place,
        count(*) as limits,
        count(*) filter (where limit_state = 'Met') as met,
        count(*) filter (where limit_state = 'Late') as late,
        count(*) filter (where limit_state = 'Too early') as too_early,
        count(*) filter (where limit_state in ('Open', 'Due within 3 days')) as due,
        count(*) filter (where limit_state = 'Due within 3 days') as due_within_3_days,
        count(*) filter (where limit_state = 'Overdue') as overdue,
        coalesce(sum(late_days), 0) as late_days_total,
        coalesce(sum(late_fee_amount), 0) as late_fee_amount
    from merged
    group by business_date, source_system, limit_kind, transport_mode, place
)

{{ conform('summed') }}
