-- The latest score of each wagon of minerals beside what its checks and the laboratory say.
with latest as (
    select * from {{ ref('stg_scores__ore_verification') }}
    qualify row_number() over (partition by wagon_id order by as_of desc, scored_at desc) = 1
),

joined as (
    select
        latest.* exclude (expected_material),
        wagons.source_system,
        wagons.business_date,
        wagons.train_id,
        wagons.position,
        wagons.station,
        wagons.material,
        wagons.declared_tfe_pct,
        wagons.tfe_pct,
        {{ material_words('latest.expected_material') }} as expected_material,
        wagons.composition_check,
        wagons.laboratory_verdict,
        wagons.laboratory_verdict not in ('No result', 'As declared') as is_not_as_declared,
        wagons.findings
    from latest
    inner join {{ ref('fct_rail_wagon_inspection') }} as wagons on latest.wagon_id = wagons.wagon_id
)

{{ conform('joined') }}
