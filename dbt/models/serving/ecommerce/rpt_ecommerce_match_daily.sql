with cells as (
    select
        business_date,
        source_system,
        customs_office,
        supervision_mode,
        match_order,
        match_result,
        is_matched,
        count(*) as lists
    from {{ ref('fct_ecommerce_list') }}
    group by all
),

{{ merge_small_cells(
    'cells',
    keep=['business_date', 'source_system'],
    dimensions=['customs_office', 'supervision_mode'],
    records='lists'
) }},

summed as (
    select
        business_date,
        source_system,
        customs_office,
        supervision_mode,
        match_order,
        match_result,
        is_matched,
        cell_records as lists_of_cell,
        sum(lists) as lists
    from merged
    group by all
)

{{ conform('summed') }}
