with counted as (
    select
        {{ month_of('business_date') }} as business_date,
        source_system,
        finding,
        severity,
        count(*) as inspections
    from {{ ref('fct_inspection') }}
    group by all
),

based as (
    select
        *,
        sum(inspections) over (partition by business_date, source_system) as inspections_of_month
    from counted
    qualify inspections_of_month >= {{ var('small_cell_minimum') }}
)

{{ conform('based') }}
