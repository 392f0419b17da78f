-- Alerts of the rail chain under the rules in force on the day.
with joined as (
    select
        alerts.reason || '/' || alerts.subject_id as alert_id,
        alerts.reason,
        rules.title,
        {{ alert_severity_words('rules.severity') }} as severity,
        alerts.subject_kind,
        alerts.subject_id,
        alerts.train_id,
        alerts.source_system,
        alerts.business_date,
        alerts.measured,
        rules.valid_from as rule_valid_from,
        rules.basis as rule_basis,
        rules.is_recalled
    from {{ ref('int_rail__alerts') }} as alerts
    inner join {{ ref('rail_rules') }} as rules
        on alerts.reason = rules.reason
        and {{ in_force('rules', 'alerts.business_date') }}
)

{{ conform('joined') }}
