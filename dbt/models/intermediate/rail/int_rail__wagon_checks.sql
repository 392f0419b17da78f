-- Every wagon as the gate saw it, and what does not fit: its number, and the note it should belong to.
select
    wagons.train_id,
    wagons.position,
    wagons.train_id || '/' || wagons.position as wagon_id,
    wagons.source_system,
    wagons.arrived_on,
    wagons.arrived_at,
    wagons.message_at,
    wagons.message_seq,
    wagons.wagon_no,
    {{ wagon_number_fits('wagons.wagon_no') }} as is_number_valid,
    wagons.container_no,
    wagons.waybill_no,
    manifests.waybill_no is not null as is_on_manifest,
    wagons.declared_mass_kg,
    wagons.weighed_mass_kg,
    (wagons.weighed_mass_kg - wagons.declared_mass_kg) / nullif(wagons.declared_mass_kg, 0) as mass_deviation
from {{ ref('stg_rail__wagon') }} as wagons
left join {{ ref('stg_rail__manifest') }} as manifests
    on wagons.waybill_no = manifests.waybill_no and wagons.train_id = manifests.train_id
