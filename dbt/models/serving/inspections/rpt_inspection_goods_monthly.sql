with cells as (
    select
        {{ month_of('business_date') }} as business_date,
        source_system,
        customs_office,
        direction,
        hs_section,
        hs_chapter,
        count(*) as declarations,
        count(*) filter (where is_inspected) as inspected,
        count(*) filter (where is_violation) as violations
    from {{ ref('fct_declaration_selection') }}
    where hs_chapter is not null
    group by all
),

{{ merge_small_cells(
    'cells',
    keep=['business_date', 'source_system'],
    dimensions=['customs_office', 'hs_chapter', 'hs_section', 'direction'],
    records='declarations'
) }},

folded as (
    select
        business_date,
        source_system,
        customs_office,
        hs_chapter,
        hs_section,
        direction,
        sum(declarations) as declarations,
        sum(inspected) as inspected,
        sum(violations) as violations
    from merged
    group by all
)

{{ conform('folded') }}
