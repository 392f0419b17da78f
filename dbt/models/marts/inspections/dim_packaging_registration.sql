-- Register of enterprises and the package types they are registered for, with the certificate that lasts longest. Judged on
-- the newest day of the register.
with as_of as (
    select max(cast(message_at at time zone '{{ var("office_time_zone") }}' as date)) as as_of_on
    from {{ ref('stg_inspections__packaging_registration') }}
),

certificates as (
    select
        registration_no,
        count(*) as certificates,
        max(valid_until) filter (where certificate_status = 'valid') as certificate_valid_until,
        arg_max(certificate_no, valid_until) filter (where certificate_status = 'valid') as certificate_no,
        any_value(certificate_kind) as certificate_kind
    from {{ ref('stg_inspections__packaging_certificate') }}
    group by registration_no
),

joined as (
    select
        registrations.registration_no,
        registrations.trader_id,
        registrations.source_system,
        registrations.registered_on,
        registrations.valid_until,
        coalesce(offices.name, registrations.customs_office_code) as customs_office,
        coalesce(types.name, registrations.package_type_code) as package_type,
        {{ package_kind_words('types.package_kind') }} as package_kind,
        coalesce(types.may_be_opened, true) as may_be_opened,
        registrations.registration_status,
        certificates.certificate_no,
        certificates.certificate_kind,
        certificates.certificate_valid_until,
        coalesce(certificates.certificates, 0) as certificates,
        as_of.as_of_on,
        case
            when registrations.registration_status <> 'active' or registrations.valid_until < as_of.as_of_on
                then 'Not in force'
            when certificates.certificate_valid_until is null then 'No certificate'
            when certificates.certificate_valid_until < as_of.as_of_on then 'Certificate expired'
            when certificates.certificate_valid_until < as_of.as_of_on + 60 then 'Expires within 60 days'
            else 'Valid'
        end as certificate_state
    from {{ ref('stg_inspections__packaging_registration') }} as registrations
    cross join as_of
    left join certificates on registrations.registration_no = certificates.registration_no
    left join {{ ref('stg_reference__customs_office') }} as offices
        on {{ valid_on('offices', 'registrations.customs_office_code', 'registrations.registered_on') }}
    left join {{ ref('stg_reference__package_type') }} as types
        on {{ valid_on('types', 'registrations.package_type_code', 'registrations.registered_on') }}
)

{{ conform('joined') }}
