-- Organisms found in grain, under the list in force on the day: a find is confirmed where the step says so, suspected where it
-- sent the wagon on to the laboratory, and set aside where the sample was not under seal all the way.
select
    finds.step_id || '/' || finds.find_seq as find_id,
    steps.step_id,
    steps.train_id,
    steps.position,
    steps.source_system,
    steps.station_code,
    steps.origin_country_code,
    steps.step_code,
    finds.finished_on,
    finds.species_code,
    pests.name as species,
    pests.pest_group,
    coalesce(pests.is_regulated, false) as is_regulated,
    finds.specimen_count,
    finds.is_live,
    case
        when custody.custody_gap is not null then 'Set aside'
        when steps.result_code = 'find' then 'Confirmed'
        else 'Suspected'
    end as find_state
from {{ ref('stg_inspections__grain_find') }} as finds
inner join {{ ref('stg_inspections__grain_step') }} as steps on finds.step_id = steps.step_id
left join {{ ref('stg_reference__grain_pest') }} as pests
    on {{ valid_on('pests', 'finds.species_code', 'finds.finished_on') }}
left join {{ ref('int_inspections__grain_custody') }} as custody on finds.step_id = custody.step_id
