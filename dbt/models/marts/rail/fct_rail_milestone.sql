-- One row per consignment and milestone it reached, in the order of the chain.
with reached as (
    {%- for column in rail_milestones() %}
    select
        waybill_no,
        train_id,
        source_system,
        business_date,
        station,
        {{ loop.index0 }} as step_no,
        {{ column }} as reached_at,
        arrived_at
    from {{ ref('fct_rail_consignment') }}
    where {{ column }} is not null
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

joined as (
    select
        reached.waybill_no,
        reached.train_id,
        reached.source_system,
        reached.business_date,
        reached.station,
        reached.step_no,
        coalesce(steps.name, 'M' || reached.step_no) as step,
        reached.reached_at,
        {{ hours_between('reached.arrived_at', 'reached.reached_at') }} as hours_from_arrival
    from reached
    left join {{ ref('stg_reference__rail_step') }} as steps
        on {{ valid_on('steps', "'M' || reached.step_no", 'reached.business_date') }}
)

{{ conform('joined') }}
