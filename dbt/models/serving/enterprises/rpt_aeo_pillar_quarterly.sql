with marks as (
    select
        cast(date_trunc('quarter', business_date) as date) as business_date,
        source_system,
        case validation_kind when 'first' then 'First validation' when 'recheck' then 'Re-check' else 'Ad hoc' end
            as validation_kind,
        unnest([
            {'pillar': 'Internal control', 'mark': internal_control_score},
            {'pillar': 'Financial status', 'mark': financial_score},
            {'pillar': 'Compliance', 'mark': compliance_score},
            {'pillar': 'Trade security', 'mark': trade_security_score}
        ], recursive := true)
    from {{ ref('fct_aeo_validation') }}
),

cells as (
    select
        business_date,
        source_system,
        validation_kind,
        pillar,
        count(*) as validations,
        -sum(mark) as marks_lost_total
    from marks
    where mark is not null
    group by all
),

{{ merge_small_cells(
    'cells',
    keep=['business_date', 'source_system', 'pillar'],
    dimensions=['validation_kind'],
    records='validations'
) }},

folded as (
    select
        business_date,
        source_system,
        pillar,
        validation_kind,
        sum(validations) as validations,
        sum(marks_lost_total) as marks_lost_total
    from merged
    group by all
)

{{ conform('folded') }}
