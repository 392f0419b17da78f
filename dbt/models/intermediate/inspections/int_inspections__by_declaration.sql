-- Outcome of inspecting a declaration, over all inspections of it.
select
    declaration_no,
    count(*) as inspections,
    min(inspected_on) as inspected_on,
    max(label_available_on) as label_available_on,
    arg_min(selected_by, inspected_on) as selected_by,
    arg_min(selection_prob, inspected_on) as selection_prob,
    bool_or(is_violation) as is_violation,
    max(coalesce(severity, case when is_violation then 1 else 0 end)) as severity,
    sum(recovered_duty) as recovered_duty,
    sum({{ hours_between('started_at', 'finished_at') }}) as inspection_hours
from {{ ref('stg_inspections__inspection') }}
group by declaration_no
