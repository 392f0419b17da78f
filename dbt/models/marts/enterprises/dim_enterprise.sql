-- Enterprise 360: one row per enterprise known now, with its standing and its last twelve months.
with bounds as (
    select
        as_of_date,
        as_of_date - interval 12 month as since
    from {{ ref('int_enterprises__as_of') }}
),

activity as (
    select
        declarations.trader_id,
        count(*) as declarations_12m,
        sum(declarations.customs_value) filter (where declarations.value_currency = 'CNY') as customs_value_cny_12m,
        sum(declarations.revenue_amount) filter (where declarations.value_currency = 'CNY') as revenue_cny_12m,
        count(*) filter (where declarations.is_late) as late_declarations_12m,
        count(*) filter (where declarations.was_rejected) as rejected_declarations_12m,
        count(*) filter (where outcomes.is_inspected) as inspected_declarations_12m,
        count(*) filter (where outcomes.is_violation) as violations_12m,
        max(declarations.business_date) as last_declared_on
    from {{ ref('fct_declaration') }} as declarations
    cross join bounds
    left join {{ ref('fct_declaration_selection') }} as outcomes
        on declarations.declaration_no = outcomes.declaration_no
    where declarations.business_date > bounds.since and declarations.business_date <= bounds.as_of_date
    group by declarations.trader_id
),

certificates as (
    select *
    from {{ ref('stg_enterprises__aeo_certificate') }}
    qualify row_number() over (partition by trader_id order by granted_on desc, certificate_no desc) = 1
),

validations as (
    select *
    from {{ ref('stg_enterprises__aeo_validation') }}
    qualify row_number() over (partition by trader_id order by decided_on desc, validation_id desc) = 1
),

joined as (
    select
        enterprises.* exclude (legal_person_id, contact_phone),
        bounds.as_of_date,
        enterprises.valid_from as rank_since,
        ranks.name as credit_rank,
        {{ trader_status_words('ranks.is_aeo', 'coalesce(ranks.name, enterprises.credit_rank_code)') }} as trader_status,
        date_diff('day', enterprises.registered_on, bounds.as_of_date) / 365.25 as years_registered,
        certificates.certificate_no,
        certificates.certificate_level,
        certificates.certificate_status,
        certificates.granted_on as certificate_granted_on,
        certificates.valid_until as certificate_valid_until,
        validations.decided_on as last_validation_on,
        validations.is_passed as last_validation_passed,
        validations.total_score as last_validation_score,
        coalesce(activity.declarations_12m, 0) as declarations_12m,
        coalesce(activity.customs_value_cny_12m, 0) as customs_value_cny_12m,
        coalesce(activity.revenue_cny_12m, 0) as revenue_cny_12m,
        coalesce(activity.late_declarations_12m, 0) as late_declarations_12m,
        coalesce(activity.rejected_declarations_12m, 0) as rejected_declarations_12m,
        coalesce(activity.inspected_declarations_12m, 0) as inspected_declarations_12m,
        coalesce(activity.violations_12m, 0) as violations_12m,
        activity.last_declared_on,
        coalesce(credit.adverse_events_24m, 0) as adverse_events_24m,
        coalesce(credit.penalties_24m, 0) as penalties_24m,
        coalesce(credit.penalty_amount_24m, 0) as penalty_amount_cny_24m,
        credit.last_credit_event_on
    from {{ ref('int_enterprises__current') }} as enterprises
    cross join bounds
    -- a rank of the law before holds until the enterprise is ranked anew: the last name the rank had
    asof left join {{ ref('stg_reference__credit_rank') }} as ranks
        on enterprises.credit_rank_code = ranks.code and bounds.as_of_date >= ranks.valid_from
    left join certificates on enterprises.trader_id = certificates.trader_id
    left join validations on enterprises.trader_id = validations.trader_id
    left join activity on enterprises.trader_id = activity.trader_id
    left join {{ ref('int_enterprises__credit') }} as credit on enterprises.trader_id = credit.trader_id
)

{{ conform('joined') }}
