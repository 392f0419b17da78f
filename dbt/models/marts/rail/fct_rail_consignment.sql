-- One row per consignment note of a manifest. A note without any event yet is one that has just been announced.
with standing as (
    select
        manifests.waybill_no,
        enterprises.credit_rank_code,
        manifests.manifest_on
    from {{ ref('stg_rail__manifest') }} as manifests
    asof left join {{ ref('stg_enterprises__enterprise') }} as enterprises
        on manifests.consignee_id = enterprises.trader_id and manifests.manifest_on >= enterprises.valid_from
),

consignees as (
    select
        standing.waybill_no,
        {{ trader_status_words('ranks.is_aeo', 'coalesce(ranks.name, standing.credit_rank_code)') }} as trader_status
    from standing
    asof left join {{ ref('stg_reference__credit_rank') }} as ranks
        on standing.credit_rank_code = ranks.code and standing.manifest_on >= ranks.valid_from
),

joined as (
    select
        manifests.waybill_no,
        manifests.train_id,
        manifests.source_system,
        coalesce(
            cast(chain.m5_at at time zone '{{ var("office_time_zone") }}' as date), manifests.manifest_on
        ) as business_date,
        coalesce(stations.name, manifests.station_code) as station,
        manifests.note_kind,
        manifests.goods_kind,
        coalesce(chapters.hs_chapter, 'Not stated') as hs_chapter,
        coalesce(countries.name, manifests.dispatch_country_code) as dispatch_country,
        manifests.consignee_id,
        manifests.wagon_count,
        wagons.wagons_seen,
        manifests.declared_mass_kg,
        wagons.weighed_mass_kg,
        case chain.lane_code
            when 'green' then 'Green' when 'documents' then 'Documents' when 'inspection' then 'Inspection'
            when 'random' then 'Random' else 'Not assessed'
        end as lane,
        case chain.decision_code
            when 'release_on_arrival' then 'Release on arrival' when 'check_documents' then 'Check documents'
            when 'inspect' then 'Inspect' else 'Not assessed'
        end as decision,
        chain.deadline_at as decision_deadline_at,
        coalesce(chain.is_two_step, false) as is_two_step,
        chain.declaration_no,
        chain.m0_at as departed_abroad_at,
        coalesce(chain.m1_at, manifests.manifest_at) as manifest_sent_at,
        chain.m2_at as manifest_accepted_at,
        chain.m3_at as lodged_at,
        chain.m4_at as assessed_at,
        chain.m5_at as arrived_at,
        chain.m6_at as scanned_at,
        chain.m7_at as instructed_at,
        chain.m8_at as started_at,
        chain.m9_at as finished_at,
        chain.m10_at as laboratory_at,
        chain.m11_at as pickup_allowed_at,
        chain.m12_at as released_at,
        chain.m13_at as reloaded_at,
        chain.m14_at as departed_inland_at,
        chain.m15_at as complete_accepted_at,
        chain.m16_at as closed_at,
        coalesce(steps.name, 'Manifest sent') as last_step,
        {{ hours_between('chain.m1_at', 'chain.m5_at') }} as transmission_lead_hours,
        {{ hours_between('chain.m2_at', 'chain.m3_at') }} as manifest_to_declaration_hours,
        {{ hours_between('chain.m5_at', 'chain.m3_at') }} as arrival_to_declaration_hours,
        {{ hours_between('chain.m5_at', 'chain.m11_at') }} as arrival_to_pickup_hours,
        {{ hours_between('chain.m5_at', 'chain.m14_at') }} as port_stay_hours,
        chain.m3_at < chain.m5_at as is_advance,
        coalesce(consignees.trader_status, 'Unknown') as trader_status,
        chain.m4_at < chain.m5_at as is_assessed_before_arrival
    from {{ ref('stg_rail__manifest') }} as manifests
    left join {{ ref('int_rail__milestones') }} as chain on manifests.waybill_no = chain.waybill_no
    left join consignees on manifests.waybill_no = consignees.waybill_no
    left join {{ ref('int_rail__wagons') }} as wagons
        on manifests.waybill_no = wagons.waybill_no and manifests.train_id = wagons.train_id
    left join {{ ref('int_reference__chapters') }} as chapters
        on substring(manifests.hs6_code, 1, 2) = chapters.chapter
    left join {{ ref('stg_reference__rail_station') }} as stations
        on {{ valid_on('stations', 'manifests.station_code', 'manifests.manifest_on') }}
    left join {{ ref('stg_reference__country') }} as countries
        on {{ valid_on('countries', 'manifests.dispatch_country_code', 'manifests.manifest_on') }}
    left join {{ ref('stg_reference__rail_step') }} as steps
        on {{ valid_on('steps', 'chain.last_step_code', 'manifests.manifest_on') }}
)

{{ conform('joined') }}
