-- Wagons of minerals by class of their score, month of arrival and declared mineral, beside what thresholds and the
-- laboratory say. A month with too few wagons is counted under the first month of its quarter.
with wagons as (
    select
        {{ month_of('business_date') }} as business_date,
        source_system,
        material,
        model_version,
        1 as records,
        case
            when score < 0.02 then 1
            when score < 0.10 then 2
            when score < 0.50 then 3
            when score < 0.90 then 4
            else 5
        end as score_band_no,
        score,
        composition_check,
        laboratory_verdict,
        is_not_as_declared,
        expected_material <> material as is_other_material
    from {{ ref('fct_rail_wagon_score') }}
),

dated as (
    select
        * replace (
            case
                when count(*) over (partition by source_system, material, business_date) < {{ var('small_cell_minimum') }}
                    then cast(date_trunc('quarter', business_date) as date)
                else business_date
            end as business_date
        )
    from wagons
),

{{ merge_small_cells(
    'dated', keep=['business_date', 'source_system', 'model_version'], dimensions=['material'], records='records'
) }},

summed as (
    select
        business_date,
        source_system,
        material,
        model_version,
        score_band_no,
        case score_band_no
            when 1 then 'below 2 %' when 2 then '2-10 %' when 3 then '10-50 %' when 4 then '50-90 %'
            else '90 % and more'
        end as score_band,
        count(*) as wagons,
        sum(score) as score_total,
        count(*) filter (where composition_check = 'Abnormal') as composition_abnormal,
        count(*) filter (where is_other_material) as wagons_of_other_material,
        count(*) filter (where laboratory_verdict <> 'No result') as sampled,
        count(*) filter (where is_not_as_declared) as not_as_declared,
        any_value(cell_records) as wagons_of_cell
    from merged
    group by business_date, source_system, material, model_version, score_band_no
)

{{ conform('summed') }}
