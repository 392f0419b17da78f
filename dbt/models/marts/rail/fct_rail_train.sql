-- One row per train that arrived.
with consignments as (
    select
        train_id,
        count(*) as consignment_count,
        count(*) filter (where is_assessed_before_arrival) as consignments_assessed_before_arrival,
        min(departed_abroad_at) as departed_abroad_at,
        min(manifest_sent_at) as manifest_sent_at,
        min(manifest_accepted_at) as manifest_accepted_at,
        min(scanned_at) as scanned_at,
        max(departed_inland_at) as departed_inland_at,
        max(transmission_lead_hours) as transmission_lead_hours,
        bool_or(departed_inland_at is null) as is_waiting
    from {{ ref('fct_rail_consignment') }}
    group by train_id
),

wagons as (
    select
        train_id,
        sum(wagons_unread) as wagons_unread
    from {{ ref('int_rail__wagons') }}
    group by train_id
),

alerts as (
    select
        train_id,
        count(*) as alert_count,
        count(distinct subject_id) filter (where subject_kind = 'wagon') as abnormal_wagons,
        count(*) filter (where reason = 'complete_overdue') as overdue_consignments,
        bool_or(reason = 'manifest_late') as is_manifest_late
    from {{ ref('fct_rail_alert') }}
    group by train_id
),

joined as (
    select
        trains.train_id,
        trains.pass_id,
        trains.train_no,
        trains.train_date,
        trains.source_system,
        trains.arrived_on as business_date,
        coalesce(stations.name, trains.station_code) as station,
        coalesce(countries.name, trains.dispatch_country_code) as dispatch_country,
        trains.goods_kind,
        trains.wagon_count,
        coalesce(wagons.wagons_unread, 0) as wagons_unread,
        coalesce(consignments.consignment_count, 0) as consignment_count,
        consignments.departed_abroad_at,
        consignments.manifest_sent_at,
        consignments.manifest_accepted_at,
        trains.arrived_at,
        consignments.scanned_at,
        case when not consignments.is_waiting then consignments.departed_inland_at end as departed_inland_at,
        consignments.transmission_lead_hours,
        case
            when not consignments.is_waiting
                then {{ hours_between('trains.arrived_at', 'consignments.departed_inland_at') }}
        end as port_stay_hours,
        coalesce(consignments.consignments_assessed_before_arrival, 0) as consignments_assessed_before_arrival,
        coalesce(consignments.consignments_assessed_before_arrival = consignments.consignment_count, false)
            as is_assessed_before_arrival,
        coalesce(alerts.abnormal_wagons, 0) as abnormal_wagons,
        coalesce(alerts.is_manifest_late, false) as is_manifest_late,
        coalesce(alerts.overdue_consignments, 0) as overdue_consignments,
        coalesce(alerts.alert_count, 0) as alert_count
    from {{ ref('stg_rail__train') }} as trains
    left join consignments on trains.train_id = consignments.train_id
    left join wagons on trains.train_id = wagons.train_id
    left join alerts on trains.train_id = alerts.train_id
    left join {{ ref('stg_reference__rail_station') }} as stations
        on {{ valid_on('stations', 'trains.station_code', 'trains.arrived_on') }}
    left join {{ ref('stg_reference__country') }} as countries
        on {{ valid_on('countries', 'trains.dispatch_country_code', 'trains.arrived_on') }}
),

judged as (
    select
        *,
        port_stay_hours >= {{ parameter_on('rail_port_stay_hours', 'business_date') }} as is_stay_over_target
    from joined
)

{{ conform('judged') }}
