-- What is wrong across messages of a chain, by reason: each message may be right and the chain still not.
{%- set parents = [
    ('m0', 'm5'), ('m1', 'm2'), ('m3', 'm4'), ('m5', 'm6'), ('m7', 'm8'), ('m8', 'm9'), ('m9', 'm10'), ('m5', 'm11'),
    ('m11', 'm13'), ('m13', 'm14'), ('m11', 'm15'), ('m12', 'm16')
] %}
with chain as (
    select
        *,
        cast(coalesce(m5_at, m1_at, m3_at) at time zone '{{ var("office_time_zone") }}' as date) as business_date
    from {{ ref('int_rail__milestones') }}
),

trains as (
    select
        train_id,
        any_value(source_system) as source_system,
        any_value(business_date) as business_date,
        any_value(m1_at) as m1_at,
        any_value(m5_at) as m5_at
    from chain
    group by train_id
),

stated as (
    select
        manifests.waybill_no,
        manifests.train_id,
        manifests.goods_kind,
        manifests.wagon_count,
        wagons.wagons_seen,
        wagons.arrived_on,
        wagons.source_system,
        (wagons.weighed_mass_kg - wagons.declared_mass_kg) / nullif(wagons.declared_mass_kg, 0) as deviation
    from {{ ref('stg_rail__manifest') }} as manifests
    inner join {{ ref('int_rail__wagons') }} as wagons
        on manifests.waybill_no = wagons.waybill_no and manifests.train_id = wagons.train_id
)

select
    'manifest_late' as reason,
    'train' as subject_kind,
    train_id as subject_id,
    train_id,
    source_system,
    business_date,
    {{ hours_between('m1_at', 'm5_at') }} as measured
from trains
where {{ hours_between('m1_at', 'm5_at') }} < {{ parameter_on('rail_manifest_lead_hours', 'business_date') }}
union all
select
    'declare_after_manifest' as reason,
    'consignment' as subject_kind,
    waybill_no as subject_id,
    train_id,
    source_system,
    business_date,
    {{ hours_between('m2_at', 'm3_at') }} as measured
from chain
where
    m3_at < m2_at
    or (
        m3_at < m5_at
        and {{ hours_between('m2_at', 'm3_at') }} > {{ parameter_on('rail_declaration_hours', 'business_date') }}
    )
union all
select
    'time_order' as reason,
    'consignment' as subject_kind,
    waybill_no as subject_id,
    train_id,
    source_system,
    business_date,
    least(
        {%- for before, after in parents %}
        {{ hours_between(before ~ '_at', after ~ '_at') }}{{ ',' if not loop.last }}
        {%- endfor %}
    ) as measured
from chain
where
    {%- for before, after in parents %}
    {{ 'or ' if not loop.first }}{{ after }}_at < {{ before }}_at
    {%- endfor %}
union all
select
    'release_before_acceptance' as reason,
    'consignment' as subject_kind,
    waybill_no as subject_id,
    train_id,
    source_system,
    business_date,
    {{ hours_between('m3_at', 'm12_at') }} as measured
from chain
where m12_at < m3_at
union all
select
    'wagon_not_on_manifest' as reason,
    'wagon' as subject_kind,
    wagon_id as subject_id,
    train_id,
    source_system,
    arrived_on as business_date,
    null as measured
from {{ ref('int_rail__wagon_checks') }}
where not is_on_manifest
union all
select
    case when wagon_no is null then 'wagon_unread' else 'wagon_no_check' end as reason,
    'wagon' as subject_kind,
    wagon_id as subject_id,
    train_id,
    source_system,
    arrived_on as business_date,
    null as measured
from {{ ref('int_rail__wagon_checks') }}
where wagon_no is null or not is_number_valid
union all
select
    'manifest_wagon_unseen' as reason,
    'consignment' as subject_kind,
    waybill_no as subject_id,
    train_id,
    source_system,
    arrived_on as business_date,
    wagon_count - wagons_seen as measured
from stated
where wagon_count > wagons_seen
union all
select
    'weight_vs_declared' as reason,
    'consignment' as subject_kind,
    waybill_no as subject_id,
    train_id,
    source_system,
    arrived_on as business_date,
    deviation as measured
from stated
where
    abs(deviation) > case
        when goods_kind = 'container' then {{ parameter_on('rail_mass_deviation_container', 'arrived_on') }}
        else {{ parameter_on('rail_mass_deviation_bulk', 'arrived_on') }}
    end
union all
select
    'train_renumbered' as reason,
    'train' as subject_kind,
    train_id as subject_id,
    train_id,
    source_system,
    arrived_on as business_date,
    null as measured
from {{ ref('stg_rail__train') }}
where split_part(train_id, '-', 2) <> train_no
union all
select
    'complete_overdue' as reason,
    'consignment' as subject_kind,
    waybill_no as subject_id,
    train_id,
    source_system,
    arrived_on as business_date,
    late_days as measured
from {{ ref('int_rail__complete_due') }}
where late_days > 0
union all
select
    told.reason,
    'instruction' as subject_kind,
    told.subject_id,
    told.train_id,
    told.source_system,
    coalesce(trains.business_date, told.business_date) as business_date,
    told.measured
from {{ ref('int_rail__instruction_alerts') }} as told
left join trains on told.train_id = trains.train_id
union all
-- what instruments find wrong with a wagon
select
    reason,
    'wagon' as subject_kind,
    train_id || '/' || position as subject_id,
    train_id,
    source_system,
    business_date,
    measured
from {{ ref('int_rail__reading_findings') }}
where is_abnormal
union all
-- how far readings are to be trusted is told per consignment, of strangers per train: measured is the number of wagons
{% for kind, key, known in [('consignment', 'waybill_no', 'is not null'), ('train', 'train_id', 'is null')] -%}
select
    reason,
    '{{ kind }}' as subject_kind,
    {{ key }} as subject_id,
    any_value(train_id) as train_id,
    any_value(source_system) as source_system,
    min(business_date) as business_date,
    count(*) as measured
from {{ ref('int_rail__reading_findings') }}
where not is_abnormal and waybill_no {{ known }}
group by reason, {{ key }}
union all
{% endfor -%}
-- released first and tested later holds for ores only while nothing severe is open
select
    'first_release_blocked' as reason,
    'consignment' as subject_kind,
    findings.waybill_no as subject_id,
    any_value(findings.train_id) as train_id,
    any_value(findings.source_system) as source_system,
    min(findings.business_date) as business_date,
    count(distinct findings.position) as measured
from {{ ref('int_rail__reading_findings') }} as findings
inner join chain on findings.waybill_no = chain.waybill_no
where
    findings.reason in (
        'waste_basicity', 'waste_scale', 'waste_cu_slag', 'waste_cinder', 'rad_alarm', 'incl_a', 'harmful_element'
    )
    and chain.m11_at > findings.known_at
    and chain.m11_at < coalesce(findings.laboratory_known_at, timestamptz '9999-12-31 00:00:00+00')
group by findings.waybill_no
