-- How far consignments got, milestone by milestone. Only what customs inspects passes M7 to M10.
with consignments as (
    select
        * replace ({{ month_of('business_date') }} as business_date, {{ goods_kind_words('goods_kind') }} as goods_kind),
        1 as records
    from {{ ref('fct_rail_consignment') }}
),

{{ merge_small_cells(
    'consignments', keep=['business_date', 'source_system'], dimensions=['goods_kind', 'station'], records='records'
) }},

counted as (
    {%- for column in rail_milestones() %}
    select
        business_date,
        source_system,
        station,
        goods_kind,
        {{ loop.index0 }} as step_no,
        count({{ column }}) as reached,
        count(*) as consignments
    from merged
    group by business_date, source_system, station, goods_kind
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

joined as (
    select
        counted.*,
        coalesce(steps.name, 'M' || counted.step_no) as step
    from counted
    left join {{ ref('stg_reference__rail_step') }} as steps
        on {{ valid_on('steps', "'M' || counted.step_no", 'counted.business_date') }}
)

{{ conform('joined') }}
