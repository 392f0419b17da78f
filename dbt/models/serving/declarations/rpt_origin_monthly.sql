with cells as (
    select
        {{ month_of('business_date') }} as business_date,
        source_system,
        customs_office,
        direction,
        transport_mode,
        value_currency,
        origin_country,
        count(*) as items,
        count(*) filter (where has_preference) as items_with_preference,
        sum(customs_value) as customs_value,
        sum(revenue_amount) as revenue_amount
    from {{ ref('fct_declaration_item') }}
    group by all
),

{{ merge_small_cells(
    'cells',
    keep=['business_date', 'source_system', 'value_currency'],
    dimensions=['transport_mode', 'customs_office', 'origin_country', 'direction'],
    records='items'
) }},

folded as (
    select
        business_date,
        source_system,
        value_currency,
        transport_mode,
        customs_office,
        origin_country,
        direction,
        sum(items) as items,
        sum(items_with_preference) as items_with_preference,
        sum(customs_value) as customs_value,
        sum(revenue_amount) as revenue_amount
    from merged
    group by all
),

countries as (
    select
        origin_country,
        any_value(origin_country_code) as origin_country_code,
        any_value(origin_region) as origin_region
    from {{ ref('fct_declaration_item') }}
    group by origin_country
),

named as (
    select
        folded.*,
        countries.origin_country_code,
        countries.origin_region
    from folded
    left join countries on folded.origin_country = countries.origin_country
)

{{ conform('named') }}
