-- What is wrong about grain and special packages across messages, by reason.
{%- set package_rules = [
    ('ispm15_mark', "package_kind = 'wood' and not is_mark_valid", 'null'),
    ('un_mark', "package_kind = 'dangerous_goods' and not is_mark_valid", 'null'),
    ('un_group', 'not is_group_covered', 'null'),
    ('un_gross', 'not is_gross_covered', 'gross_mass_kg / marked_gross_kg'),
    ('un_plastic_age', 'not is_young_enough', 'year(arrived_on) - made_in_year'),
    ('cert_valid', "certificate_state not in ('None', 'Valid')", 'arrived_on - certificate_registered_until'),
    ('special_pack_opened', 'is_opened_without_order', 'null'),
] %}
{%- set wagon_rules = [
    ('grain_samples', 'not has_enough_increments or not is_aggregate_consistent', 'increment_count'),
    ('grain_chain', 'custody_gap is not null', 'null'),
    ('grain_release_open', 'is_released_with_open_find', 'regulated_finds'),
] %}
{%- for reason, condition, measured in wagon_rules %}
select
    '{{ reason }}' as reason,
    'wagon' as subject_kind,
    train_id || '/' || position as subject_id,
    train_id,
    station_code,
    source_system,
    examined_on as business_date,
    cast({{ measured }} as double) as measured
from {{ ref('int_inspections__grain_wagons') }}
where {{ condition }}
union all
{%- endfor %}
{%- for reason, condition, measured in package_rules %}
select
    '{{ reason }}' as reason,
    'package' as subject_kind,
    package_id as subject_id,
    train_id,
    station_code,
    source_system,
    arrived_on as business_date,
    cast({{ measured }} as double) as measured
from {{ ref('int_inspections__packages') }}
where {{ condition }}
{{ 'union all' if not loop.last }}
{%- endfor %}
