-- One row per wagon of imported grain that was examined.
with joined as (
    select
        grain.train_id || '/' || grain.position as wagon_id,
        grain.train_id,
        grain.position,
        wagons.wagon_no,
        wagons.waybill_no,
        grain.source_system,
        coalesce(wagons.arrived_on, grain.examined_on) as business_date,
        coalesce(stations.name, grain.station_code) as station,
        coalesce(countries.name, grain.origin_country_code) as origin,
        wagons.arrived_at,
        grain.surface_started_at,
        grain.surface_finished_at,
        grain.sampling_finished_at,
        grain.screening_finished_at,
        grain.laboratory_finished_at,
        grain.decision_finished_at,
        grain.treatment_finished_at,
        grain.release_finished_at,
        {{ hours_between('wagons.arrived_at', 'grain.surface_started_at') }} as waiting_hours,
        {{ hours_between('grain.surface_started_at', 'grain.surface_finished_at') }} as surface_hours,
        {{ hours_between('grain.sampling_started_at', 'grain.sampling_finished_at') }} as sampling_hours,
        {{ hours_between('grain.screening_started_at', 'grain.screening_finished_at') }} as screening_hours,
        {{ hours_between('grain.surface_started_at', 'grain.screening_finished_at') }} as site_hours,
        {{ hours_between('grain.sampling_finished_at', 'grain.laboratory_finished_at') }} as laboratory_hours,
        {{ hours_between('greatest(grain.screening_finished_at, grain.laboratory_finished_at)',
            'grain.decision_finished_at') }} as decision_hours,
        {{ hours_between('grain.decision_finished_at', 'grain.treatment_finished_at') }} as treatment_hours,
        {{ hours_between('wagons.arrived_at', 'grain.release_finished_at') }} as release_hours,
        grain.lot_mass_kg,
        grain.increment_count,
        grain.increments_required,
        grain.has_enough_increments,
        grain.aggregate_mass_kg,
        grain.is_aggregate_consistent,
        grain.moisture_pct,
        grain.impurity_pct,
        {{ grain_result_words('grain.surface_result') }} as surface_result,
        {{ grain_result_words('grain.screening_result') }} as screening_result,
        {{ grain_result_words('grain.laboratory_result') }} as laboratory_result,
        case grain.laboratory_method when 'dna_barcode' then 'DNA barcode' when 'morphology' then 'Morphology' end
            as laboratory_method,
        grain.laboratory_samples,
        grain.custody_gap,
        grain.regulated_finds,
        grain.common_finds,
        case grain.decision_code
            when 'release' then 'Release' when 'release_with_conditions' then 'Release with conditions'
            when 'return' then 'Return' when 'destroy' then 'Destroy' else 'Not decided'
        end as decision,
        case grain.treatment_code
            when 'fumigation' then 'Fumigation' when 'supervised_processing' then 'Processing under supervision'
        end as treatment,
        grain.is_released_with_open_find
    from {{ ref('int_inspections__grain_wagons') }} as grain
    left join {{ ref('stg_rail__wagon') }} as wagons
        on grain.train_id = wagons.train_id and grain.position = wagons.position
    left join {{ ref('stg_reference__rail_station') }} as stations
        on {{ valid_on('stations', 'grain.station_code', 'grain.examined_on') }}
    left join {{ ref('stg_reference__country') }} as countries
        on {{ valid_on('countries', 'grain.origin_country_code', 'grain.examined_on') }}
)

{{ conform('joined') }}
