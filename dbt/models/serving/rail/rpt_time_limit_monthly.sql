-- Time limits by month of the deadline and place: met, late with the fee, still open, overdue.
with limits as (
    select
        {{ month_of('business_date') }} as business_date,
        source_system,
        limit_kind,
        place,
        1 as records,
        limit_state,
        late_days,
        case when value_currency = 'CNY' then late_fee_amount end as late_fee_amount
    from {{ ref('fct_time_limit') }}
),

{{ merge_small_cells(
    'limits', keep=['business_date', 'source_system', 'limit_kind'], dimensions=['place'], records='records'
) }},

summed as (
    select
        business_date,
        source_system,
        limit_kind,
        place,
        count(*) as limits,
        count(*) filter (where limit_state = 'Met') as met,
        count(*) filter (where limit_state = 'Late') as late,
        count(*) filter (where limit_state in ('Open', 'Due within 3 days')) as due,
        count(*) filter (where limit_state = 'Due within 3 days') as due_within_3_days,
        count(*) filter (where limit_state = 'Overdue') as overdue,
        sum(late_days) as late_days_total,
        coalesce(sum(late_fee_amount), 0) as late_fee_amount
    from merged
    group by business_date, source_system, limit_kind, place
)

{{ conform('summed') }}
