with joined as (
    select
        certificates.*,
        certificates.granted_on as business_date,
        enterprises.enterprise_name,
        enterprises.region_code,
        certificates.certificate_status = 'active'
        and certificates.granted_on <= bounds.as_of_date
        and coalesce(certificates.valid_until >= bounds.as_of_date, true) as is_in_force,
        certificates.valid_until - bounds.as_of_date as days_left
    from {{ ref('stg_enterprises__aeo_certificate') }} as certificates
    cross join {{ ref('int_enterprises__as_of') }} as bounds
    left join {{ ref('int_enterprises__current') }} as enterprises on certificates.trader_id = enterprises.trader_id
)

{{ conform('joined') }}
