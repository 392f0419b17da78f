-- Use of the personal quota, list by list: what the buyer had used in the calendar year with this list included, against
-- the limits of its day. Lists that customs rejected or returned (100, 700) give their value back.
with counted as (
    select
        list_no,
        source_system,
        buyer_id,
        business_date,
        year(business_date) as quota_year,
        total_value,
        case when status_code in ('100', '700') then 0 else total_value end as counted_value,
        declared_at
    from {{ ref('stg_ecommerce__list') }}
),

used as (
    select
        *,
        sum(counted_value) over (
            partition by source_system, buyer_id, quota_year
            order by business_date, declared_at, list_no
            rows between unbounded preceding and current row
        ) as used_value_of_year
    from counted
)

select
    used.*,
    transaction_limit.parameter_value as transaction_limit,
    annual_limit.parameter_value as annual_limit,
    coalesce(used.total_value > transaction_limit.parameter_value, false) as is_over_transaction_limit,
    coalesce(used.counted_value > 0 and used.used_value_of_year > annual_limit.parameter_value, false)
        as is_over_annual_limit
from used
left join {{ ref('parameters') }} as transaction_limit
    on {{ parameter_valid_on('transaction_limit', 'ecommerce_transaction_limit', 'used.business_date') }}
left join {{ ref('parameters') }} as annual_limit
    on {{ parameter_valid_on('annual_limit', 'ecommerce_annual_limit', 'used.business_date') }}
