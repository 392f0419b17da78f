with summed as (
    select
        source_system,
        buyer_id,
        quota_year,
        count(*) as lists,
        sum(counted_value) as used_value_cny,
        arg_max(annual_limit, business_date) as annual_limit_cny,
        count(*) filter (where is_over_transaction_limit) as lists_over_transaction_limit,
        count(*) filter (where is_over_annual_limit) as lists_over_annual_limit,
        min(business_date) filter (where is_over_annual_limit) as over_limit_since,
        max(business_date) as last_list_on
    from {{ ref('int_ecommerce__quota') }}
    group by all
),

shared as (
    select
        *,
        case
            when used_value_cny > annual_limit_cny then 0
            else annual_limit_cny - used_value_cny
        end as remaining_cny,
        cast(used_value_cny as double) / annual_limit_cny as used_share
    from summed
),

banded as (
    select
        *,
        {{ quota_band_no('used_share') }} as quota_band_no,
        {{ quota_band(quota_band_no('used_share')) }} as quota_band
    from shared
)

{{ conform('banded') }}
