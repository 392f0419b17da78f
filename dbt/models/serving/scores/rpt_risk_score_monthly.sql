with cells as (
    select
        {{ month_of('business_date') }} as business_date,
        source_system,
        customs_office,
        direction,
        score_decile,
        model_version,
        known_before_scoring,
        count(*) as declarations,
        count(*) filter (where is_inspected) as inspected,
        count(*) filter (where is_violation) as violations,
        sum(score) as score_total
    from {{ ref('fct_declaration_score') }}
    group by all
),

{{ merge_small_cells(
    'cells',
    keep=['business_date', 'source_system', 'model_version'],
    dimensions=['customs_office', 'direction'],
    records='declarations'
) }},

summed as (
    select
        business_date,
        source_system,
        customs_office,
        direction,
        score_decile,
        model_version,
        known_before_scoring,
        cell_records as declarations_of_cell,
        sum(declarations) as declarations,
        sum(inspected) as inspected,
        sum(violations) as violations,
        sum(score_total) as score_total
    from merged
    group by all
)

{{ conform('summed') }}
