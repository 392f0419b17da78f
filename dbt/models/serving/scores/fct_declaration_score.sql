with latest as (
    select * from {{ ref('stg_scores__declaration_risk') }}
    qualify row_number() over (partition by declaration_no order by as_of desc, scored_at desc) = 1
),

-- deciles among the declarations scored together (same day of view and model version)
ranked as (
    select
        *,
        ntile(10) over (partition by as_of, model_version order by score, score_rank desc) as score_decile
    from latest
),

joined as (
    select
        ranked.*,
        outcomes.source_system,
        outcomes.business_date,
        outcomes.customs_district,
        outcomes.customs_office,
        outcomes.direction,
        outcomes.transport_mode,
        outcomes.supervision_mode,
        outcomes.trader_status,
        outcomes.is_selected,
        outcomes.is_inspected,
        outcomes.is_violation,
        case
            when not outcomes.is_inspected then 'No outcome'
            when outcomes.label_available_on > ranked.as_of then 'After scoring'
            else 'Before scoring'
        end as known_before_scoring
    from ranked
    inner join {{ ref('fct_declaration_selection') }} as outcomes on ranked.declaration_no = outcomes.declaration_no
)

{{ conform('joined') }}
