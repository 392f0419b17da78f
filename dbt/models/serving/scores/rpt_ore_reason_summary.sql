-- Why the model suspects wagons: what pushes their probability up, over the wagons it holds for more likely not as declared
-- than as declared, latest scoring. Small-cell rule on the wagons of a reason.
with reasons as (
    select
        source_system,
        model_version,
        unnest(from_json(reasons, '[{"feature": "VARCHAR", "contribution": "DOUBLE"}]')) as reason
    from {{ ref('fct_rail_wagon_score') }}
    where score >= 0.5
),

pushed as (
    select
        source_system,
        model_version,
        reason.feature,
        reason.contribution,
        1 as records
    from reasons
    where reason.contribution > 0
),

{{ merge_small_cells(
    'pushed', keep=['source_system', 'model_version'], dimensions=['feature'], records='records'
) }},

summed as (
    select
        source_system,
        model_version,
        feature,
        count(*) as wagons,
        sum(contribution) as contribution_total
    from merged
    group by source_system, model_version, feature
)

{{ conform('summed') }}
