with cells as (
    select
        {{ month_of('business_date') }} as business_date,
        source_system,
        customs_office,
        direction,
        transport_mode,
        value_currency,
        hs_section,
        hs_chapter,
        count(*) as items,
        sum(net_mass_kg) as net_mass_kg,
        sum(customs_value) as customs_value,
        sum(duty_amount) as duty_amount,
        sum(vat_amount) as vat_amount,
        sum(revenue_amount) as revenue_amount
    from {{ ref('fct_declaration_item') }}
    group by all
),

{{ merge_small_cells(
    'cells',
    keep=['business_date', 'source_system', 'value_currency'],
    dimensions=['transport_mode', 'customs_office', 'hs_chapter', 'hs_section', 'direction'],
    records='items'
) }},

folded as (
    select
        business_date,
        source_system,
        value_currency,
        transport_mode,
        customs_office,
        hs_chapter,
        hs_section,
        direction,
        sum(items) as items,
        sum(net_mass_kg) as net_mass_kg,
        sum(customs_value) as customs_value,
        sum(duty_amount) as duty_amount,
        sum(vat_amount) as vat_amount,
        sum(revenue_amount) as revenue_amount
    from merged
    group by all
)

{{ conform('folded') }}
