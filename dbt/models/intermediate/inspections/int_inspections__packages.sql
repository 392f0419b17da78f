-- Packages treated specially: what their mark says, and what the register says of the certificate on the day of arrival.
with marked as (
    select
        *,
        -- after the letter stands the gross mass (kg) of a packaging for solids, marked S; of one for liquids the density
        case
            when package_kind = 'dangerous_goods' and is_mark_valid and regexp_matches(mark_text, '/S/[0-9]{2}/')
                then cast(regexp_extract(mark_text, '/[XYZ]([0-9]+([.][0-9]+)?)/', 1) as double)
        end as marked_gross_kg,
        case
            when package_kind = 'dangerous_goods' and is_mark_valid
                then 2000 + cast(regexp_extract(mark_text, '/(S|[0-9]+)/([0-9]{2})/[A-Z]', 2) as integer)
        end as made_in_year,
        -- material H is plastic: 1H1, 3H1, 4H2, 31HA1
        coalesce(regexp_matches(mark_text, '^u/n [1-6][0-9]?H'), false) as is_plastic
    from {{ ref('stg_inspections__special_package') }}
)

select
    marked.*,
    coalesce(registrations.valid_until, date '9999-12-31') >= marked.arrived_on
    and registrations.registration_status = 'active' as is_registered,
    case
        when marked.certificate_no is null then 'None'
        when certificates.certificate_no is null then 'Unknown'
        when registrations.trader_id <> marked.trader_id then 'Of another enterprise'
        when certificates.certificate_status = 'revoked' then 'Revoked'
        when certificates.issued_on > marked.arrived_on then 'Not yet valid'
        when certificates.valid_until < marked.arrived_on then 'Expired'
        else 'Valid'
    end as certificate_state,
    certificates.valid_until as certificate_registered_until,
    marked.gross_mass_kg <= marked.marked_gross_kg as is_gross_covered,
    case
        when marked.is_plastic then year(marked.arrived_on) - marked.made_in_year <= years.parameter_value
    end as is_young_enough,
    openings.parameter_value as full_opening_hours
from marked
left join {{ ref('stg_inspections__packaging_certificate') }} as certificates
    on marked.certificate_no = certificates.certificate_no
left join {{ ref('stg_inspections__packaging_registration') }} as registrations
    on certificates.registration_no = registrations.registration_no
left join {{ ref('parameters') }} as years
    on {{ parameter_valid_on('years', 'un_plastic_packaging_years', 'marked.arrived_on') }}
left join {{ ref('parameters') }} as openings
    on {{ parameter_valid_on('openings', 'package_full_opening_hours', 'marked.arrived_on') }}
