with bounds as (
    select
        as_of_date,
        {{ month_of('as_of_date') }} as this_month
    from {{ ref('int_enterprises__as_of') }}
),

-- two years back, and one year ahead for what falls due
months as (
    select cast(unnest(range(this_month - interval 23 month, this_month + interval 13 month, interval 1 month)) as date)
        as business_date
    from bounds
),

certificates as (
    select
        *,
        case certificate_level when 'advanced_certified' then 'Advanced certified' else 'Certified' end as level_name
    from {{ ref('fct_aeo_certificate') }}
),

counted as (
    select
        months.business_date,
        certificates.source_system,
        certificates.level_name as certificate_level,
        count(*) filter (where {{ month_of('certificates.granted_on') }} = months.business_date) as granted,
        count(*) filter (
            where months.business_date <= bounds.this_month
            and certificates.certificate_status in ('active', 'expired')
            and certificates.granted_on <= last_day(months.business_date)
            and coalesce(certificates.valid_until > last_day(months.business_date), true)
        ) as in_force,
        count(*) filter (where {{ month_of('certificates.valid_until') }} = months.business_date) as falling_due
    from months
    cross join certificates
    cross join bounds
    group by all
)

{{ conform('counted') }}
