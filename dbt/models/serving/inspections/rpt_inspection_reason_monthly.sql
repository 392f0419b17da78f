-- Inspections by what chose them; `declarations` are those of the whole cell, inspected or not.
{{ by_place_and_trader(
    ref('fct_declaration_selection'),
    month_of('business_date'),
    attributes={'selected_by': 'case when is_inspected then selected_by end'},
    measures={
        'inspected': 'count(*) filter (where is_inspected)',
        'violations': 'count(*) filter (where is_violation)',
        'critical_violations': "count(*) filter (where is_violation and severity = 'Critical')",
        'inspection_hours_total': 'coalesce(sum(inspection_hours), 0)',
        'population_weight': 'coalesce(sum(1 / selection_prob) filter (where is_inspected), 0)',
        'violation_weight': 'coalesce(sum(1 / selection_prob) filter (where is_violation), 0)',
    },
    shown='selected_by is not null',
    declarations='cell_records'
) }}
