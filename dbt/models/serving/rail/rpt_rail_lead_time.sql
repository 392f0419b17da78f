-- Trains by month of arrival, station and goods: size, how long before arrival they were announced (in weighted classes of
-- hours, so that medians hold under any filter), assessed and declared. A cell counts the consignments on its trains.
with declared as (
    select
        train_id,
        count(lodged_at) as consignments_declared,
        count(*) filter (
            where manifest_to_declaration_hours
                between 0 and {{ parameter_on('rail_declaration_hours', 'business_date') }}
        ) as consignments_declared_within_2h
    from {{ ref('fct_rail_consignment') }}
    group by train_id
),

trains as (
    select
        {{ month_of('trains.business_date') }} as business_date,
        trains.source_system,
        trains.station,
        {{ goods_kind_words('trains.goods_kind') }} as goods_kind,
        trains.consignment_count as records,
        trains.wagon_count,
        trains.wagons_unread,
        trains.transmission_lead_hours,
        trains.transmission_lead_hours
        >= {{ parameter_on('rail_manifest_lead_hours', 'trains.business_date') }} as is_sent_in_time,
        trains.is_assessed_before_arrival,
        declared.consignments_declared,
        declared.consignments_declared_within_2h
    from {{ ref('fct_rail_train') }} as trains
    left join declared on trains.train_id = declared.train_id
),

{{ merge_small_cells(
    'trains', keep=['business_date', 'source_system'], dimensions=['goods_kind', 'station'], records='records'
) }},

summed as (
    select
        business_date,
        source_system,
        station,
        goods_kind,
        {{ rail_hours_class('transmission_lead_hours') }} as lead_hours,
        count(*) as trains,
        sum(wagon_count) as wagons,
        sum(wagons_unread) as wagons_unread,
        sum(records) as consignments,
        count(transmission_lead_hours) as lead_known,
        coalesce(sum(transmission_lead_hours), 0) as lead_hours_total,
        count(*) filter (where is_sent_in_time) as trains_sent_in_time,
        count(*) filter (where is_assessed_before_arrival) as trains_assessed_before_arrival,
        coalesce(sum(consignments_declared), 0) as consignments_declared,
        coalesce(sum(consignments_declared_within_2h), 0) as consignments_declared_within_2h,
        any_value(cell_records) as consignments_of_cell
    from merged
    group by business_date, source_system, station, goods_kind, {{ rail_hours_class('transmission_lead_hours') }}
)

{{ conform('summed') }}
