with cells as (
    select
        business_date,
        source_system,
        direction,
        customs_office,
        coalesce(value_currency, 'Not stated') as value_currency,
        count(*) as declarations,
        sum(customs_value) as customs_value,
        sum(duty_amount) as duty_amount,
        sum(vat_amount) as vat_amount,
        sum(revenue_amount) as revenue_amount,
        sum(late_fee_amount) as late_fee_amount
    from {{ ref('fct_declaration') }}
    group by all
),

{{ merge_small_cells(
    'cells',
    keep=['business_date', 'source_system', 'value_currency'],
    dimensions=['customs_office', 'direction'],
    records='declarations'
) }},

folded as (
    select
        business_date,
        source_system,
        value_currency,
        customs_office,
        direction,
        sum(declarations) as declarations,
        sum(customs_value) as customs_value,
        sum(duty_amount) as duty_amount,
        sum(vat_amount) as vat_amount,
        sum(revenue_amount) as revenue_amount,
        sum(late_fee_amount) as late_fee_amount
    from merged
    group by all
)

{{ conform('folded') }}
