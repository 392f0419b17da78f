with traders as (
    select
        {{ month_of('business_date') }} as business_date,
        source_system,
        direction,
        coalesce(value_currency, 'Not stated') as value_currency,
        trader_id,
        sum(customs_value) as customs_value
    from {{ ref('fct_declaration') }}
    group by all
),

ranked as (
    select
        *,
        row_number() over (
            partition by business_date, source_system, direction, value_currency
            order by customs_value desc, trader_id
        ) as position,
        count(*) over (partition by business_date, source_system, direction, value_currency) as traders
    from traders
),

summed as (
    select
        business_date,
        source_system,
        direction,
        value_currency,
        count(*) as traders,
        sum(customs_value) as customs_value,
        -- never a sum over fewer traders than the small-cell rule allows
        sum(customs_value) filter (where position <= greatest({{ var('small_cell_minimum') }}, ceil(traders * 0.01)))
            as customs_value_top_1_percent,
        sum(customs_value) filter (where position <= greatest({{ var('small_cell_minimum') }}, ceil(traders * 0.10)))
            as customs_value_top_10_percent
    from ranked
    group by all
    having count(*) >= {{ var('small_cell_minimum') }}
)

{{ conform('summed') }}
