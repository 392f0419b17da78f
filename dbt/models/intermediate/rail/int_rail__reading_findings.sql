-- What the readings of a wagon say under the limits of the day, one row per wagon and reason. A finding makes its check
-- abnormal; a flag only tells how far to trust a reading. A reading that was not normalised is flagged and not judged.
{%- set limits = [
    'ore_grade_gap', 'ore_wagon_deviation', 'ore_wagon_deviations', 'waste_basicity', 'waste_lime', 'waste_lime_alone',
    'scale_iron', 'scale_silica_lime', 'ferrous_oxide_highest', 'iron_highest', 'slag_iron_lowest', 'slag_iron_highest',
    'slag_silica', 'slag_copper', 'slag_zinc', 'cinder_sulphur', 'cinder_iron', 'copper_arsenic', 'copper_lead',
    'closure_lowest', 'closure_highest', 'closure_uncalibrated', 'inclusion_c_share', 'natural_activity',
    'copied_elements'
] %}
{%- set elements = ['tfe', 'sio2', 'cao', 'al2o3', 'mgo', 'tio2', 'mno', 'p2o5', 's', 'cu', 'zn', 'pb', 'as'] %}
with wagons as (select * from {{ ref('int_rail__wagon_readings') }}),

limits as (
    select
        days.business_date
        {%- for limit in limits %},
        max(parameters.parameter_value) filter (where parameters.parameter = 'rail_{{ limit }}') as {{ limit }}
        {%- endfor %}
    from (select distinct business_date from wagons) as days
    inner join {{ ref('parameters') }} as parameters
        on {{ in_force('parameters', 'days.business_date') }}
    group by days.business_date
),

consignments as (
    select
        order_no,
        avg(tfe_pct) as mean_tfe_pct,
        median(tfe_pct) as median_tfe_pct
    from wagons
    group by order_no
),

judged as (
    select
        wagons.*,
        limits.* exclude (business_date),
        consignments.mean_tfe_pct,
        consignments.median_tfe_pct,
        coalesce(wagons.material_code = 'copper_concentrate', false) as is_copper,
        wagons.closure_pct <= limits.closure_uncalibrated as is_calibrated,
        coalesce(wagons.cao_pct, 0) as cao,
        coalesce(wagons.mgo_pct, 0) as mgo,
        coalesce(wagons.al2o3_pct, 0) as al2o3
    from wagons
    inner join limits on wagons.business_date = limits.business_date
    left join consignments on wagons.order_no = consignments.order_no
),

-- the same contents on two wagons of a train; of a copied pair the later position is the copy
copied as (
    select
        later.train_id,
        later.position,
        max(
            {%- for element in elements %}
            {{ '+ ' if not loop.first }}coalesce(cast(later.{{ element }}_pct = earlier.{{ element }}_pct as integer), 0)
            {%- endfor %}
        ) as equal_elements
    from judged as later
    inner join judged as earlier
        on
            later.train_id = earlier.train_id
            and later.tfe_pct = earlier.tfe_pct
            and later.position > earlier.position
    group by later.train_id, later.position
),

frames as (
    select
        train_id,
        libs_frame_no,
        min(position) as position
    from judged
    where libs_frame_no is not null
    group by train_id, libs_frame_no
    having count(*) > 1
),

findings as (
    {%- set rules = [
        ('composition', true, 'grade_gap', 'mean_tfe_pct - declared_tfe_pct',
         'not is_copper and (abs(mean_tfe_pct - declared_tfe_pct) > ore_grade_gap'
         ~ ' or (is_calibrated and abs(tfe_pct - median_tfe_pct) > ore_wagon_deviations * ore_wagon_deviation))'),
        ('composition', true, 'waste_basicity', '(cao + mgo) / (sio2_pct + al2o3)',
         'not is_copper and is_calibrated and ((cao > waste_lime and (cao + mgo) > waste_basicity * (sio2_pct + al2o3))'
         ~ ' or cao > waste_lime_alone)'),
        ('composition', true, 'waste_scale', 'tfe_pct',
         'not is_copper and ((is_calibrated and tfe_pct > scale_iron and sio2_pct + cao < scale_silica_lime)'
         ~ ' or feo_pct > ferrous_oxide_highest)'),
        ('composition', true, 'waste_cu_slag', 'tfe_pct',
         'not is_copper and is_calibrated and tfe_pct between slag_iron_lowest and slag_iron_highest'
         ~ ' and sio2_pct > slag_silica and (zn_pct > slag_zinc or cu_pct > slag_copper)'),
        ('composition', true, 'waste_cinder', 's_pct',
         'not is_copper and is_calibrated and s_pct > cinder_sulphur and tfe_pct < cinder_iron'),
        ('composition', true, 'waste_attribute', 'null', "solid_waste_attribute in ('suspected', 'mixed')"),
        ('composition', true, 'harmful_element', 'as_pct',
         'is_copper and is_calibrated and (as_pct > copper_arsenic or pb_pct > copper_lead)'),
        ('laboratory', true, 'laboratory_not_as_declared', 'null', "verdict_code <> 'as_declared'"),
        ('radiation', true, 'rad_alarm', 'gamma_total', 'is_alarm'),
        ('radiation', true, 'rad_limit', 'activity_bq_g', 'activity_bq_g > natural_activity'),
        ('inclusion', true, 'incl_a', 'class_a_count', 'class_a_count > 0'),
        ('inclusion', true, 'incl_b', 'class_b_count', 'class_b_count > 0'),
        ('inclusion', true, 'incl_c_share', 'class_c_share_pct', 'class_c_share_pct >= inclusion_c_share'),
        ('reading', false, 'wagon_not_in_consist', 'position', "matched_by = 'none'"),
        ('reading', false, 'wagon_matched_by_position', 'position', "matched_by = 'position'"),
        ('reading', false, 'unknown_order', 'null', 'not is_ordered'),
        ('reading', false, 'closure', 'closure_pct',
         'closure_pct < closure_lowest or (closure_pct > closure_highest and is_calibrated)'),
        ('reading', false, 'uncalibrated_reading', 'closure_pct', 'not is_calibrated'),
        ('reading', false, 'element_range', 'tfe_pct', 'tfe_pct > iron_highest'),
        ('reading', false, 'ferrous_oxide_by_libs', 'libs_feo_pct', 'libs_feo_pct is not null'),
        ('reading', false, 'instrument_calibrated', 'calibrations_old', 'calibrations_old > 0'),
        ('reading', false, 'device_state', 'device_states_off', 'device_states_off > 0'),
        ('reading', false, 'rad_panel', 'least(panel_1_count, panel_2_count, panel_3_count, panel_4_count)',
         'least(panel_1_count, panel_2_count, panel_3_count, panel_4_count)'
         ~ ' < 0.25 * (gamma_total - least(panel_1_count, panel_2_count, panel_3_count, panel_4_count))'),
        ('reading', false, 'reading_before_arrival', 'null', 'first_read_at < arrived_at - interval 5 minute'),
    ] %}
    {%- for check_code, is_abnormal, reason, measured, condition in rules %}
    select
        train_id,
        position,
        '{{ check_code }}' as check_code,
        {{ is_abnormal }} as is_abnormal,
        '{{ reason }}' as reason,
        cast({{ measured }} as double) as measured
    from judged
    where {{ condition }}
    union all
    {%- endfor %}
    select
        judged.train_id,
        judged.position,
        'composition' as check_code,
        true as is_abnormal,
        'copied_spectrum' as reason,
        copied.equal_elements as measured
    from copied
    inner join judged on copied.train_id = judged.train_id and copied.position = judged.position
    where copied.equal_elements >= judged.copied_elements
    union all
    select
        judged.train_id,
        judged.position,
        'reading' as check_code,
        false as is_abnormal,
        'frame_repeated' as reason,
        judged.libs_frame_no as measured
    from judged
    inner join frames
        on
            judged.train_id = frames.train_id
            and judged.libs_frame_no = frames.libs_frame_no
            and judged.position > frames.position
)

select
    findings.*,
    wagons.waybill_no,
    wagons.source_system,
    wagons.business_date,
    wagons.is_ordered,
    case findings.check_code
        when 'composition' then wagons.composition_known_at
        when 'radiation' then wagons.radiation_known_at
        when 'inclusion' then wagons.inclusion_known_at
    end as known_at,
    wagons.laboratory_known_at
from findings
inner join wagons on findings.train_id = wagons.train_id and findings.position = wagons.position
