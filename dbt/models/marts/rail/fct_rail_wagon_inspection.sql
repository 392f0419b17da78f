-- One row per wagon of minerals any instrument read: normal or abnormal per check, and why.
{%- set checks = {'radiation': 'radiation_known_at', 'composition': 'composition_known_at', 'inclusion': 'inclusion_known_at'} %}
with found as (
    select
        findings.train_id,
        findings.position,
        {%- for check in checks %}
        bool_or(findings.check_code = '{{ check }}' and findings.is_abnormal) as is_{{ check }}_abnormal,
        {%- endfor %}
        bool_or(findings.is_abnormal) as is_abnormal,
        count(*) filter (where findings.is_abnormal) as finding_count,
        string_agg(rules.title, '; ' order by rules.severity desc, rules.title) filter (where findings.is_abnormal)
            as findings,
        string_agg(rules.title, '; ' order by rules.title) filter (where not findings.is_abnormal) as flags
    from {{ ref('int_rail__reading_findings') }} as findings
    inner join {{ ref('rail_rules') }} as rules
        on
            findings.reason = rules.reason
            and {{ in_force('rules', 'findings.business_date') }}
    group by findings.train_id, findings.position
),

joined as (
    select
        wagons.* exclude (mineral_class, solid_waste_attribute),
        wagons.train_id || '/' || wagons.position as wagon_id,
        coalesce(stations.name, wagons.station_code, 'Not known') as station,
        {{ material_words('wagons.material_code') }} as material,
        case wagons.matched_by
            when 'number' then 'Number' when 'position' then 'Position' else 'Not in the consist'
        end as matched_to_consist,
        coalesce(wagons.mineral_class, 'not read') as mineral_class,
        coalesce(wagons.solid_waste_attribute, 'not read') as solid_waste_attribute,
        {%- for check, known in checks.items() %}
        case
            when wagons.{{ known }} is null then 'Not read'
            when found.is_{{ check }}_abnormal then 'Abnormal'
            {%- if check == 'composition' %}
            when wagons.tfe_pct is null then 'Not read'
            {%- endif %}
            else 'Normal'
        end as {{ check }}_check,
        {%- endfor %}
        case wagons.verdict_code
            when 'as_declared' then 'As declared' when 'grade_below_declared' then 'Grade below declared'
            when 'other_goods' then 'Other goods' when 'solid_waste' then 'Solid waste'
            when 'harmful_element' then 'Harmful element' else 'No result'
        end as laboratory_verdict,
        coalesce(found.is_abnormal, false) as is_abnormal,
        coalesce(found.finding_count, 0) as finding_count,
        found.findings,
        found.flags
    from {{ ref('int_rail__wagon_readings') }} as wagons
    left join found on wagons.train_id = found.train_id and wagons.position = found.position
    left join {{ ref('stg_reference__rail_station') }} as stations
        on {{ valid_on('stations', 'wagons.station_code', 'wagons.business_date') }}
)

{{ conform('joined') }}
