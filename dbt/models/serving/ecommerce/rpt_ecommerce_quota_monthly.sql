-- Buyers with a list in the month, by what they had used of the year's quota at the end of it.
with buyers as (
    select
        {{ month_of('business_date') }} as business_date,
        source_system,
        buyer_id,
        max(used_value_of_year) as used_value,
        arg_max(annual_limit, business_date) as annual_limit
    from {{ ref('int_ecommerce__quota') }}
    group by all
),

banded as (
    select
        business_date,
        source_system,
        used_value,
        {{ quota_band_no('cast(used_value as double) / annual_limit') }} as quota_band_no
    from buyers
),

cells as (
    select
        business_date,
        source_system,
        {{ quota_band('quota_band_no') }} as quota_band,
        count(*) as buyers,
        sum(used_value) as used_value_cny
    from banded
    group by all
),

{{ merge_small_cells(
    'cells',
    keep=['business_date', 'source_system'],
    dimensions=['quota_band'],
    records='buyers'
) }},

folded as (
    select
        business_date,
        source_system,
        quota_band,
        sum(buyers) as buyers,
        sum(used_value_cny) as used_value_cny
    from merged
    group by all
),

numbered as (
    select
        *,
        case quota_band
            when '0-25 %' then 1 when '25-50 %' then 2 when '50-75 %' then 3 when '75-90 %' then 4
            when '90-100 %' then 5 when 'Over the limit' then 6
        end as quota_band_no
    from folded
)

{{ conform('numbered') }}
