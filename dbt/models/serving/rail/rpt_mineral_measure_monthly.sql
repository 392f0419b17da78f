-- Distribution of what the instruments measure, by month of arrival and declared mineral: one row per class of the value.
-- A month with too few wagons is counted under the first month of its quarter.
{%- set measures = [
    (1, 'TFe', 'tfe_pct', 0.5), (2, 'TFe minus declared', 'tfe_pct - declared_tfe_pct', 0.5), (3, 'SiO2', 'sio2_pct', 0.5),
    (4, 'Al2O3', 'al2o3_pct', 0.25), (5, 'CaO', 'cao_pct', 0.5), (6, 'MgO', 'mgo_pct', 0.25), (7, 'TiO2', 'tio2_pct', 0.1),
    (8, 'MnO', 'mno_pct', 0.1), (9, 'P2O5', 'p2o5_pct', 0.02), (10, 'S', 's_pct', 0.25), (11, 'FeO', 'feo_pct', 1.0),
    (12, 'Closure', 'closure_pct', 0.5), (13, 'Highest panel above background',
     '(greatest(panel_1_count, panel_2_count, panel_3_count, panel_4_count) / background_count - 1) * 100', 1.0),
    (14, 'Other inclusions', 'class_c_share_pct', 0.001)
] %}
with measured as (
    {%- for number, measure, value, width in measures %}
    select
        {{ month_of('business_date') }} as business_date,
        source_system,
        material,
        {{ number }} as measure_no,
        '{{ measure }}' as measure,
        {{ value_class(value, width) }} as value_class,
        {{ value }} as measured_value,
        is_abnormal,
        1 as records
    from {{ ref('fct_rail_wagon_inspection') }}
    where {{ value }} is not null
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

dated as (
    select
        * replace (
            case
                when count(*) over (partition by source_system, measure, material, business_date)
                    < {{ var('small_cell_minimum') }}
                    then cast(date_trunc('quarter', business_date) as date)
                else business_date
            end as business_date
        )
    from measured
),

{{ merge_small_cells(
    'dated', keep=['business_date', 'source_system', 'measure_no', 'measure'], dimensions=['material'], records='records'
) }},

summed as (
    select
        business_date,
        source_system,
        material,
        measure_no,
        measure,
        value_class,
        count(*) as wagons,
        count(*) filter (where is_abnormal) as wagons_abnormal,
        sum(measured_value) as value_total,
        any_value(cell_records) as wagons_of_cell
    from merged
    group by business_date, source_system, material, measure_no, measure, value_class
)

{{ conform('summed') }}
