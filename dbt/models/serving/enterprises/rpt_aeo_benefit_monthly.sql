with cells as (
    select
        {{ month_of('declarations.business_date') }} as business_date,
        declarations.source_system,
        declarations.direction,
        declarations.trader_status,
        coalesce(declarations.value_currency, 'Not stated') as value_currency,
        count(distinct declarations.trader_id) as traders,
        count(*) as declarations,
        count(*) filter (where outcomes.is_inspected) as inspected,
        count(*) filter (where outcomes.is_violation) as violations,
        count(*) filter (where declarations.release_hours is not null) as released,
        count(*) filter (where declarations.is_released_within_24h) as released_within_24h,
        coalesce(sum(declarations.release_hours), 0) as release_hours_total,
        sum(declarations.customs_value) as customs_value,
        sum(declarations.revenue_amount) as revenue_amount
    from {{ ref('fct_declaration') }} as declarations
    inner join {{ ref('fct_declaration_selection') }} as outcomes
        on declarations.declaration_no = outcomes.declaration_no
    group by all
),

{{ merge_small_cells(
    'cells',
    keep=['business_date', 'source_system', 'value_currency'],
    dimensions=['trader_status', 'direction'],
    records='declarations'
) }},

folded as (
    select
        business_date,
        source_system,
        value_currency,
        trader_status,
        direction,
        sum(traders) as traders,
        sum(declarations) as declarations,
        sum(inspected) as inspected,
        sum(violations) as violations,
        sum(released) as released,
        sum(released_within_24h) as released_within_24h,
        sum(release_hours_total) as release_hours_total,
        sum(customs_value) as customs_value,
        sum(revenue_amount) as revenue_amount
    from merged
    group by all
)

{{ conform('folded') }}
