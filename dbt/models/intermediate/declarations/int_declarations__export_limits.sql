-- Exports: declared after the goods arrived in the bonded area and the parameter's hours before loading.
-- Customs Law art. 24. Exactly so many hours before is in time.
with exports as (
    select
        declarations.declaration_no,
        declarations.declared_at,
        declarations.bonded_arrived_at,
        declarations.arrived_at as loading_at,
        declarations.arrived_at - to_hours(cast(hours.parameter_value as integer)) as deadline_at
    from {{ ref('stg_declarations__declaration') }} as declarations
    inner join {{ ref('parameters') }} as hours
        on {{ parameter_valid_on('hours', 'export_declaration_hours', 'declarations.declared_on') }}
    where
        declarations.direction = 'E' and declarations.declared_at is not null and declarations.arrived_at is not null
)

select
    *,
    greatest(0, {{ hours_between('deadline_at', 'declared_at') }}) as late_hours,
    coalesce(declared_at < bonded_arrived_at, false) as is_too_early
from exports
