-- Alerts by month, station and goods, one row per rule in force even where it raised none: with the consignments they
-- came among. A rule's alerts never split a cell, so the small-cell rule looks at consignments alone.
with consignments as (
    select
        {{ month_of('business_date') }} as business_date,
        source_system,
        station,
        {{ goods_kind_words('goods_kind') }} as goods_kind,
        train_id,
        1 as records
    from {{ ref('fct_rail_consignment') }}
),

{{ merge_small_cells(
    'consignments', keep=['business_date', 'source_system'], dimensions=['goods_kind', 'station'], records='records'
) }},

cells as (
    select
        business_date,
        source_system,
        station,
        goods_kind,
        count(*) as consignments
    from merged
    group by business_date, source_system, station, goods_kind
),

-- a train carries one kind of goods to one station
trains as (
    select
        business_date,
        source_system,
        train_id,
        any_value(station) as station,
        any_value(goods_kind) as goods_kind
    from merged
    group by business_date, source_system, train_id
),

raised as (
    select
        trains.business_date,
        trains.source_system,
        trains.station,
        trains.goods_kind,
        alerts.reason,
        alerts.rule_valid_from,
        count(*) as alerts
    from {{ ref('fct_rail_alert') }} as alerts
    inner join trains
        on alerts.train_id = trains.train_id
        and alerts.source_system = trains.source_system
        and {{ month_of('alerts.business_date') }} = trains.business_date
    group by all
),

counted as (
    select
        cells.business_date,
        cells.source_system,
        cells.station,
        cells.goods_kind,
        rules.reason,
        rules.title,
        {{ alert_severity_words('rules.severity') }} as severity,
        rules.valid_from as rule_valid_from,
        rules.basis as rule_basis,
        rules.is_recalled,
        coalesce(raised.alerts, 0) as alerts,
        cells.consignments
    from cells
    inner join {{ ref('rail_rules') }} as rules
        on rules.valid_from <= last_day(cells.business_date)
        and cells.business_date < {{ until('rules') }}
    left join raised
        on cells.business_date = raised.business_date
        and cells.source_system = raised.source_system
        and cells.station = raised.station
        and cells.goods_kind = raised.goods_kind
        and rules.reason = raised.reason
        and rules.valid_from = raised.rule_valid_from
)

{{ conform('counted') }}
