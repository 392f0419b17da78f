-- Time Release Study (WCO guide, version 4): hours of every step by quarter and segment. A mean never stands alone: count,
-- median, ninth decile, deviation and share within target stand beside it. Each consignment is in one segment of a kind.
with {{ rail_steps() }},

segmented as (
    {%- for kind, segment in [
        ('Lane', 'lane'),
        ('Trader', 'trader_status'),
        ('Declared', "case when is_advance then 'In advance' when not is_advance then 'After arrival' else 'Unknown' end"),
        ('Goods', goods_kind_words('goods_kind')),
        ('Station', 'station'),
    ] %}
    select
        cast(date_trunc('quarter', business_date) as date) as business_date,
        source_system,
        step_no,
        step,
        '{{ kind }}' as segment_kind,
        {{ segment }} as segment,
        hours,
        target_hours,
        1 as records
    from measured
    where hours is not null
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

{{ merge_small_cells(
    'segmented', keep=['business_date', 'source_system', 'step_no', 'step', 'segment_kind'], dimensions=['segment'],
    records='records'
) }},

summed as (
    select
        business_date,
        source_system,
        step_no,
        step,
        segment_kind,
        segment,
        {{ rail_step_figures() }}
    from merged
    group by business_date, source_system, step_no, step, segment_kind, segment
)

{{ conform('summed') }}
