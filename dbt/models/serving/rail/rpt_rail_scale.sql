-- Published yearly figures of rail trade.
with dated as (
    select
        *,
        make_date(scale_year, 1, 1) as business_date
    from {{ ref('rail_scale') }}
)

{{ conform('dated') }}
