-- Results of the gates, read from silver as it is now: the gate of the marts judges after the marts are built.
with domains as (
    select distinct
        dataset,
        domain
    from {{ ref('dim_column_grade') }}
),

results as (
    select
        r.*,
        coalesce(domains.domain, 'Not stated') as domain,
        cast(r.measured_at at time zone '{{ var("office_time_zone") }}' as date) as business_date,
        r.run_id = last_value(r.run_id) over (
            partition by r.gate order by r.measured_at rows between unbounded preceding and unbounded following
        ) as is_latest
    from {{ ref('stg_governance__quality_result') }} as r
    left join domains on r.dataset = domains.dataset
)

{{ conform('results') }}
