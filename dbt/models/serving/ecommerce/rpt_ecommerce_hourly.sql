with minutes as (
    select
        business_date,
        source_system,
        customs_office,
        festival,
        is_festival,
        hour(declared_at at time zone 'Asia/Shanghai') as hour_of_day,
        minute(declared_at) as minute_of_hour,
        count(*) as lists
    from {{ ref('fct_ecommerce_list') }}
    where declared_at is not null
    group by all
),

{{ merge_small_cells(
    'minutes',
    keep=['business_date', 'source_system', 'festival', 'is_festival'],
    dimensions=['customs_office'],
    records='lists'
) }},

merged_minutes as (
    select
        business_date,
        source_system,
        customs_office,
        festival,
        is_festival,
        cell_records,
        hour_of_day,
        minute_of_hour,
        sum(lists) as lists
    from merged
    group by all
),

summed as (
    select
        business_date,
        source_system,
        customs_office,
        festival,
        is_festival,
        hour_of_day,
        cell_records as lists_of_cell,
        sum(lists) as lists,
        max(lists) as busiest_minute_lists
    from merged_minutes
    group by all
)

{{ conform('summed') }}
