with joined as (
    select
        events.*,
        events.occurred_on as business_date,
        enterprises.enterprise_name,
        enterprises.region_code
    from {{ ref('stg_enterprises__credit_event') }} as events
    left join {{ ref('int_enterprises__current') }} as enterprises on events.trader_id = enterprises.trader_id
)

{{ conform('joined') }}
