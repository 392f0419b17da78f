-- How far consignments got, milestone by milestone. Only what customs inspects passes M7 to M10.
{%- set milestones = [
    ('Departure abroad', 'departed_abroad_at'),
    ('Manifest sent', 'manifest_sent_at'),
    ('Manifest accepted', 'manifest_accepted_at'),
    ('Declaration lodged', 'lodged_at'),
    ('Risk assessed', 'assessed_at'),
    ('Arrived', 'arrived_at'),
    ('Scan pass', 'scanned_at'),
    ('Instruction sent', 'instructed_at'),
    ('Inspection started', 'started_at'),
    ('Inspection ended', 'finished_at'),
    ('Laboratory result', 'laboratory_at'),
    ('Pickup allowed', 'pickup_allowed_at'),
    ('Released', 'released_at'),
    ('Reloaded', 'reloaded_at'),
    ('Departure inland', 'departed_inland_at'),
    ('Complete declaration accepted', 'complete_accepted_at'),
    ('Closed', 'closed_at'),
] %}
with consignments as (
    select
        * replace ({{ month_of('business_date') }} as business_date, {{ goods_kind_words('goods_kind') }} as goods_kind),
        1 as records
    from {{ ref('fct_rail_consignment') }}
),

{{ merge_small_cells(
    'consignments', keep=['business_date', 'source_system'], dimensions=['goods_kind', 'station'], records='records'
) }},

summed as (
    {%- for step, column in milestones %}
    select
        business_date,
        source_system,
        station,
        goods_kind,
        {{ loop.index0 }} as step_no,
        '{{ step }}' as step,
        count({{ column }}) as reached,
        count(*) as consignments
    from merged
    group by business_date, source_system, station, goods_kind
    {{ 'union all' if not loop.last }}
    {%- endfor %}
)

{{ conform('summed') }}
