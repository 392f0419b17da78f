with joined as (
    select
        finds.find_id,
        finds.train_id || '/' || finds.position as wagon_id,
        finds.source_system,
        wagons.business_date,
        wagons.station,
        wagons.origin,
        case finds.step_code
            when 'surface' then 'Surface quarantine' when 'screening' then 'Screening' when 'laboratory' then 'Laboratory'
            else 'Other'
        end as step,
        finds.finished_on as found_on,
        finds.species_code,
        coalesce(finds.species, finds.species_code) as species,
        case finds.pest_group
            when 'insect' then 'Insect' when 'weed' then 'Weed' when 'fungus' then 'Fungus' when 'virus' then 'Virus'
            when 'nematode' then 'Nematode' else 'Not stated'
        end as pest_group,
        finds.is_regulated,
        finds.specimen_count,
        finds.is_live,
        finds.find_state
    from {{ ref('int_inspections__grain_finds') }} as finds
    inner join {{ ref('fct_grain_wagon') }} as wagons on finds.train_id || '/' || finds.position = wagons.wagon_id
)

{{ conform('joined') }}
