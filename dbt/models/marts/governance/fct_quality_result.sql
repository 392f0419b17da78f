with results as (
    select
        *,
        cast(measured_at at time zone '{{ var("office_time_zone") }}' as date) as business_date,
        row_number() over (partition by gate, dataset, expectation order by measured_at desc) = 1 as is_latest
    from {{ ref('stg_governance__quality_result') }}
)

{{ conform('results') }}
