-- Wagons of a consignment as the gate saw them, against what was stated.
select
    train_id,
    waybill_no,
    any_value(source_system) as source_system,
    min(arrived_on) as arrived_on,
    count(*) as wagons_seen,
    count(*) filter (where wagon_no is null) as wagons_unread,
    sum(declared_mass_kg) as declared_mass_kg,
    sum(weighed_mass_kg) as weighed_mass_kg
from {{ ref('stg_rail__wagon') }}
group by train_id, waybill_no
