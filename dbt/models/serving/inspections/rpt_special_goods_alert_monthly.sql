-- Alerts about grain and special packages by month and station, one row per rule in force even where it raised none, with
-- what was examined beside. Alerts never split a cell, so the small-cell rule looks at what was examined alone.
with examined as (
    select
        'Grain' as goods,
        {{ month_of('business_date') }} as business_date,
        source_system,
        station,
        wagon_id as subject_id,
        1 as records
    from {{ ref('fct_grain_wagon') }}
    union all
    select
        'Packages' as goods,
        {{ month_of('business_date') }} as business_date,
        source_system,
        station,
        package_id as subject_id,
        1 as records
    from {{ ref('fct_special_package') }}
),

{{ merge_small_cells(
    'examined', keep=['goods', 'business_date', 'source_system'], dimensions=['station'], records='records'
) }},

cells as (
    select
        goods,
        business_date,
        source_system,
        station,
        count(*) as examined
    from merged
    group by goods, business_date, source_system, station
),

raised as (
    select
        merged.goods,
        merged.business_date,
        merged.source_system,
        merged.station,
        alerts.reason,
        alerts.rule_valid_from,
        count(*) as alerts
    from {{ ref('fct_special_goods_alert') }} as alerts
    inner join merged on alerts.goods = merged.goods and alerts.subject_id = merged.subject_id
    group by all
),

counted as (
    select
        cells.business_date,
        cells.source_system,
        cells.station,
        rules.goods,
        rules.reason,
        rules.title,
        {{ alert_severity_words('rules.severity') }} as severity,
        rules.valid_from as rule_valid_from,
        rules.basis as rule_basis,
        rules.is_recalled,
        coalesce(raised.alerts, 0) as alerts,
        cells.examined
    from cells
    inner join {{ ref('special_goods_rules') }} as rules
        on cells.goods = rules.goods
        and rules.valid_from <= last_day(cells.business_date)
        and {{ until('rules') }} > cells.business_date
    left join raised
        on cells.goods = raised.goods
        and cells.business_date = raised.business_date
        and cells.source_system = raised.source_system
        and cells.station = raised.station
        and rules.reason = raised.reason
        and rules.valid_from = raised.rule_valid_from
)

{{ conform('counted') }}
