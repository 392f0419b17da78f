-- Alerts about grain and special packages under the rules in force on the day.
with joined as (
    select
        alerts.reason || '/' || alerts.subject_id as alert_id,
        rules.goods,
        alerts.reason,
        rules.title,
        {{ alert_severity_words('rules.severity') }} as severity,
        alerts.subject_kind,
        alerts.subject_id,
        alerts.train_id,
        coalesce(stations.name, alerts.station_code) as station,
        alerts.source_system,
        alerts.business_date,
        alerts.measured,
        rules.valid_from as rule_valid_from,
        rules.basis as rule_basis,
        rules.is_recalled
    from {{ ref('int_inspections__special_goods_alerts') }} as alerts
    inner join {{ ref('special_goods_rules') }} as rules
        on alerts.reason = rules.reason
        and {{ in_force('rules', 'alerts.business_date') }}
    left join {{ ref('stg_reference__rail_station') }} as stations
        on {{ valid_on('stations', 'alerts.station_code', 'alerts.business_date') }}
)

{{ conform('joined') }}
