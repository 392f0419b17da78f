-- One row per wagon any instrument read, side by side: what was ordered and declared, elements, radiation, inclusions and
-- the laboratory. A reading is matched to the consist by position: the number an instrument or the gate read may be wrong.
with orders as (select * from {{ ref('stg_rail__inspection_order') }}),

libs as (select * from {{ ref('stg_rail__composition') }} where method_code = 'libs'),

image as (select * from {{ ref('stg_rail__composition') }} where method_code = 'hyperspectral'),

read as (
    {%- for relation in ["libs", "image", ref('stg_rail__radiation'), ref('stg_rail__inclusion')] %}
    select
        train_id,
        position,
        wagon_no,
        order_no,
        declaration_no,
        source_system,
        read_at,
        known_at,
        device_state <> 'normal' as is_device_off,
        coalesce(calibrated_at < read_at - interval 24 hour, true) as is_calibration_old,
        conclusion_code = 'abnormal' as is_abnormal_by_device
    from {{ relation }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

places as (
    select
        train_id,
        position,
        any_value(wagon_no) as read_wagon_no,
        any_value(order_no) as order_no,
        any_value(declaration_no) as declaration_no,
        any_value(source_system) as source_system,
        min(read_at) as first_read_at,
        max(read_at) as last_read_at,
        max(known_at) as known_at,
        count(*) filter (where is_device_off) as device_states_off,
        count(*) filter (where is_calibration_old) as calibrations_old,
        bool_or(is_abnormal_by_device) as is_abnormal_by_device
    from read
    group by train_id, position
),

sampled as (
    select
        train_id,
        position,
        arg_max(verdict_code, known_at) as verdict_code,
        max(known_on) as laboratory_known_on,
        min(known_at) as laboratory_known_at,
        max(activity_bq_g) as activity_bq_g
    from {{ ref('stg_rail__laboratory_result') }}
    group by train_id, position
)

select
    places.*,
    coalesce(trains.arrived_on, cast(places.first_read_at at time zone '{{ var("office_time_zone") }}' as date))
        as business_date,
    trains.arrived_at,
    coalesce(orders.station_code, trains.station_code) as station_code,
    gate.wagon_no,
    coalesce(gate.waybill_no, orders.waybill_no) as waybill_no,
    case
        when gate.position is null then 'none'
        when gate.wagon_no = places.read_wagon_no then 'number'
        else 'position'
    end as matched_by,
    orders.order_no is not null as is_ordered,
    orders.hs_code,
    orders.material_code,
    orders.brand_code,
    orders.declared_tfe_pct,
    orders.declared_cu_pct,
    libs.tfe_pct,
    libs.sio2_pct,
    libs.cao_pct,
    libs.al2o3_pct,
    libs.mgo_pct,
    libs.tio2_pct,
    libs.mno_pct,
    libs.p2o5_pct,
    libs.s_pct,
    libs.cu_pct,
    libs.zn_pct,
    libs.pb_pct,
    libs.as_pct,
    libs.feo_pct as libs_feo_pct,
    libs.below_lod,
    libs.closure_pct,
    libs.device_id as libs_device_id,
    libs.frame_no as libs_frame_no,
    libs.known_at as composition_known_at,
    image.feo_pct,
    image.mineral_class,
    image.solid_waste_attribute,
    radiation.panel_1_count,
    radiation.panel_2_count,
    radiation.panel_3_count,
    radiation.panel_4_count,
    radiation.neutron_count,
    radiation.gamma_total,
    radiation.background_count,
    radiation.is_alarm,
    radiation.known_at as radiation_known_at,
    inclusion.class_a_count,
    inclusion.class_b_count,
    inclusion.class_c_weight_g,
    inclusion.class_c_share_pct,
    inclusion.known_at as inclusion_known_at,
    sampled.verdict_code,
    sampled.laboratory_known_on,
    sampled.laboratory_known_at,
    sampled.activity_bq_g
from places
left join {{ ref('stg_rail__train') }} as trains on places.train_id = trains.train_id
left join {{ ref('stg_rail__wagon') }} as gate
    on places.train_id = gate.train_id and places.position = gate.position
left join orders on places.order_no = orders.order_no
left join libs on places.train_id = libs.train_id and places.position = libs.position
left join image on places.train_id = image.train_id and places.position = image.position
left join {{ ref('stg_rail__radiation') }} as radiation
    on places.train_id = radiation.train_id and places.position = radiation.position
left join {{ ref('stg_rail__inclusion') }} as inclusion
    on places.train_id = inclusion.train_id and places.position = inclusion.position
left join sampled on places.train_id = sampled.train_id and places.position = sampled.position
