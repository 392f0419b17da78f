with cells as (
    select
        {{ month_of('business_date') }} as business_date,
        source_system,
        customs_district,
        customs_office,
        direction,
        transport_mode,
        supervision_mode,
        trader_status,
        coalesce(value_currency, 'Not stated') as value_currency,
        count(*) as declarations,
        count(*) filter (where is_late) as declared_late,
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
    dimensions=['supervision_mode', 'trader_status', 'transport_mode', 'customs_office', 'customs_district', 'direction'],
    records='declarations'
) }},

folded as (
    select
        business_date,
        source_system,
        value_currency,
        supervision_mode,
        trader_status,
        transport_mode,
        customs_office,
        customs_district,
        direction,
        sum(declarations) as declarations,
        sum(declared_late) as declared_late,
        sum(customs_value) as customs_value,
        sum(duty_amount) as duty_amount,
        sum(vat_amount) as vat_amount,
        sum(revenue_amount) as revenue_amount,
        sum(late_fee_amount) as late_fee_amount
    from merged
    group by all
)

{{ conform('folded') }}
