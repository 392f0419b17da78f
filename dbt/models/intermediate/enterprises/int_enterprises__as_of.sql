-- The day the enterprise figures look from: the last business day on which anything was declared, else the last known state.
select coalesce(
    (select max(declared_on) from {{ ref('stg_declarations__declaration') }} where source_system = 'single_window'),
    (select max(declared_on) from {{ ref('stg_declarations__declaration') }}),
    (select max(valid_from) from {{ ref('stg_enterprises__enterprise') }})
) as as_of_date
