-- Trains by month of arrival and station: how long before arrival they were announced and assessed. Stations with too few
-- trains are merged, then the shares and quantiles are taken over the trains themselves.
with trains as (
    select
        {{ month_of('business_date') }} as business_date,
        source_system,
        station,
        1 as records,
        transmission_lead_hours,
        transmission_lead_hours
        >= {{ parameter_on('rail_manifest_lead_hours', 'business_date') }} as is_sent_in_time,
        is_assessed_before_arrival,
        port_stay_hours,
        train_id
    from {{ ref('fct_rail_train') }}
),

declared as (
    select
        train_id,
        count(lodged_at) as consignments_declared,
        count(*) filter (where lodged_at < arrived_at) as consignments_declared_before_arrival,
        count(*) filter (
            where manifest_to_declaration_hours
                between 0 and {{ parameter_on('rail_declaration_hours', 'business_date') }}
        ) as consignments_declared_within_2h,
        count(*) filter (where arrival_to_declaration_hours >= 0) as consignments_declared_after_arrival,
        sum(arrival_to_declaration_hours) filter (where arrival_to_declaration_hours >= 0)
            as arrival_to_declaration_hours_total
    from {{ ref('fct_rail_consignment') }}
    group by train_id
),

{{ merge_small_cells('trains', keep=['business_date', 'source_system'], dimensions=['station'], records='records') }},

summed as (
    select
        merged.business_date,
        merged.source_system,
        merged.station,
        count(*) as trains,
        count(merged.transmission_lead_hours) as lead_known,
        avg(merged.transmission_lead_hours) as lead_hours_mean,
        stddev_samp(merged.transmission_lead_hours) as lead_hours_deviation,
        median(merged.transmission_lead_hours) as lead_hours_median,
        quantile_cont(merged.transmission_lead_hours, 0.9) as lead_hours_p90,
        count(*) filter (where merged.is_sent_in_time) as trains_sent_in_time,
        count(*) filter (where merged.is_assessed_before_arrival) as trains_assessed_before_arrival,
        sum(declared.consignments_declared) as consignments_declared,
        sum(declared.consignments_declared_before_arrival) as consignments_declared_before_arrival,
        sum(declared.consignments_declared_within_2h) as consignments_declared_within_2h,
        sum(declared.consignments_declared_after_arrival) as consignments_declared_after_arrival,
        coalesce(sum(declared.arrival_to_declaration_hours_total), 0) as arrival_to_declaration_hours_total
    from merged
    left join declared on merged.train_id = declared.train_id
    group by merged.business_date, merged.source_system, merged.station
)

{{ conform('summed') }}
