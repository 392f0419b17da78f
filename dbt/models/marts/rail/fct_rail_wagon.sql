-- One row per wagon of a train that arrived, by its position, with what does not fit on it.
with found as (
    select
        subject_id as wagon_id,
        string_agg(title, '; ' order by title) as findings
    from {{ ref('fct_rail_alert') }}
    where subject_kind = 'wagon'
    group by subject_id
),

joined as (
    select
        wagons.wagon_id,
        wagons.train_id,
        wagons.position,
        wagons.source_system,
        wagons.arrived_on as business_date,
        coalesce(stations.name, trains.station_code) as station,
        trains.goods_kind,
        wagons.wagon_no,
        case substring(wagons.wagon_no, 1, 1)
            when '2' then 'Covered' when '4' then 'Flat' when '5' then 'Privately owned' when '6' then 'Gondola'
            when '7' then 'Tank' when '8' then 'Insulated' else 'Other'
        end as wagon_kind,
        wagons.is_number_valid,
        wagons.container_no,
        wagons.waybill_no,
        wagons.is_on_manifest,
        wagons.declared_mass_kg,
        wagons.weighed_mass_kg,
        wagons.mass_deviation,
        found.findings,
        found.wagon_id is not null as is_abnormal
    from {{ ref('int_rail__wagon_checks') }} as wagons
    left join {{ ref('stg_rail__train') }} as trains on wagons.train_id = trains.train_id
    left join {{ ref('stg_reference__rail_station') }} as stations
        on {{ valid_on('stations', 'trains.station_code', 'wagons.arrived_on') }}
    left join found on wagons.wagon_id = found.wagon_id
)

{{ conform('joined') }}
