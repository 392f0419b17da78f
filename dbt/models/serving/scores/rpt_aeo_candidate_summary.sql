with banded as (
    select
        business_date,
        source_system,
        region_code as region,
        least(5, cast(floor(aeo_chance * 5) as integer) + 1) as band_no,
        model_version
    from {{ ref('fct_aeo_candidate') }}
),

cells as (
    select
        business_date,
        source_system,
        region,
        case band_no
            when 1 then 'below 20 %' when 2 then '20-40 %' when 3 then '40-60 %' when 4 then '60-80 %'
            else '80 % and more'
        end as chance_band,
        model_version,
        count(*) as enterprises
    from banded
    group by all
),

{{ merge_small_cells(
    'cells',
    keep=['business_date', 'source_system', 'model_version'],
    dimensions=['region', 'chance_band'],
    records='enterprises'
) }},

folded as (
    select
        business_date,
        source_system,
        model_version,
        region,
        chance_band,
        sum(enterprises) as enterprises
    from merged
    group by all
),

numbered as (
    select
        *,
        case chance_band
            when 'below 20 %' then 1 when '20-40 %' then 2 when '40-60 %' then 3 when '60-80 %' then 4
            when '80 % and more' then 5
        end as chance_band_no
    from folded
)

{{ conform('numbered') }}
