{{ by_place_and_trader(
    ref('fct_declaration_selection'),
    month_of('business_date'),
    measures={
        'selected': 'count(*) filter (where is_selected)',
        'inspected': 'count(*) filter (where is_inspected)',
        'violations': 'count(*) filter (where is_violation)',
        'critical_violations': "count(*) filter (where is_violation and severity = 'Critical')",
        'expected_selected': 'coalesce(sum(selection_prob), 0)',
    }
) }}
