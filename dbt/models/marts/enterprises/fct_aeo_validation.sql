with joined as (
    select
        validations.*,
        validations.decided_on as business_date,
        enterprises.enterprise_name,
        enterprises.enterprise_kind,
        enterprises.region_code,
        validations.decided_on - validations.applied_on as days_to_decision
    from {{ ref('stg_enterprises__aeo_validation') }} as validations
    left join {{ ref('int_enterprises__current') }} as enterprises on validations.trader_id = enterprises.trader_id
)

{{ conform('joined') }}
