-- One row per wagon of grain: its steps, what sampling drew against what it has to draw, finds and custody.
{%- set steps = ['surface', 'sampling', 'screening', 'laboratory', 'decision', 'treatment', 'release'] %}
with wagons as (
    select
        train_id,
        position,
        any_value(source_system) as source_system,
        any_value(station_code) as station_code,
        any_value(origin_country_code) as origin_country_code,
        min(finished_on) as examined_on,
        {%- for step in steps %}
        min(started_at) filter (where step_code = '{{ step }}') as {{ step }}_started_at,
        max(finished_at) filter (where step_code = '{{ step }}') as {{ step }}_finished_at,
        {%- endfor %}
        min(finished_on) filter (where step_code = 'sampling') as sampled_on,
        any_value(lot_mass_kg) filter (where step_code = 'sampling') as lot_mass_kg,
        any_value(increment_count) filter (where step_code = 'sampling') as increment_count,
        any_value(increment_mass_kg) filter (where step_code = 'sampling') as increment_mass_kg,
        any_value(aggregate_mass_kg) filter (where step_code = 'sampling') as aggregate_mass_kg,
        any_value(moisture_pct) filter (where step_code = 'screening') as moisture_pct,
        any_value(impurity_pct) filter (where step_code = 'screening') as impurity_pct,
        any_value(result_code) filter (where step_code = 'surface') as surface_result,
        any_value(result_code) filter (where step_code = 'screening') as screening_result,
        any_value(result_code) filter (where step_code = 'laboratory') as laboratory_result,
        any_value(method_code) filter (where step_code = 'laboratory') as laboratory_method,
        any_value(decision_code) as decision_code,
        any_value(treatment_code) as treatment_code
    from {{ ref('stg_inspections__grain_step') }}
    group by train_id, position
),

finds as (
    select
        train_id,
        position,
        count(*) filter (where is_regulated and find_state = 'Confirmed') as regulated_finds,
        -- an unsealed sample settles nothing, but what it showed is a reason to treat until another one says otherwise
        count(*) filter (where is_regulated and find_state <> 'Suspected') as finds_to_treat,
        count(*) filter (where not is_regulated) as common_finds
    from {{ ref('int_inspections__grain_finds') }}
    group by train_id, position
),

custody as (
    select
        train_id,
        position,
        min(custody_gap) as custody_gap,
        count(*) as samples
    from {{ ref('int_inspections__grain_custody') }}
    group by train_id, position
)

select
    wagons.*,
    tables.increments as increments_required,
    wagons.increment_count >= tables.increments as has_enough_increments,
    abs(wagons.aggregate_mass_kg / nullif(wagons.increment_count * wagons.increment_mass_kg, 0) - 1)
    <= tolerances.parameter_value as is_aggregate_consistent,
    coalesce(finds.regulated_finds, 0) as regulated_finds,
    coalesce(finds.common_finds, 0) as common_finds,
    coalesce(custody.samples, 0) as laboratory_samples,
    custody.custody_gap,
    wagons.release_finished_at is not null
    and coalesce(finds.finds_to_treat, 0) > 0
    and coalesce(wagons.treatment_finished_at > wagons.release_finished_at, true) as is_released_with_open_find
from wagons
left join finds on wagons.train_id = finds.train_id and wagons.position = finds.position
left join custody on wagons.train_id = custody.train_id and wagons.position = custody.position
left join {{ ref('grain_increments') }} as tables
    on wagons.lot_mass_kg > tables.above_kg
    and wagons.lot_mass_kg <= tables.up_to_kg
    and {{ in_force('tables', 'wagons.sampled_on') }}
left join {{ ref('parameters') }} as tolerances
    on {{ parameter_valid_on('tolerances', 'grain_aggregate_tolerance', 'wagons.sampled_on') }}
