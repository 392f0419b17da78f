with timed as (
    select
        *,
        declared_at at time zone '{{ var("office_time_zone") }}' as declared_local
    from {{ ref('fct_declaration') }}
    where declared_at is not null
),

cells as (
    select
        {{ month_of('business_date') }} as business_date,
        source_system,
        customs_district,
        customs_office,
        direction,
        transport_mode,
        isodow(declared_local) as weekday_no,
        dayname(declared_local) as weekday,
        hour(declared_local) as hour_of_day,
        count(*) as declarations
    from timed
    group by all
),

{{ merge_small_cells(
    'cells',
    keep=['business_date', 'source_system'],
    dimensions=['transport_mode', 'customs_office', 'customs_district', 'direction'],
    records='declarations'
) }},

summed as (
    select
        business_date,
        source_system,
        customs_district,
        customs_office,
        direction,
        transport_mode,
        weekday_no,
        weekday,
        hour_of_day,
        cell_records as declarations_of_cell,
        sum(declarations) as declarations
    from merged
    group by all
)

{{ conform('summed') }}
