-- Rows set aside by rule and day, with the rule in words.
with words as (
    select distinct
        contract_id,
        rule_id,
        rule_words
    from {{ ref('stg_governance__quarantine_sample') }}
),

counted as (
    select
        q.business_date,
        {{ domain_of('q.contract_id') }} as domain,
        {{ dataset_of('q.contract_id') }} as dataset,
        q.source_system,
        q.rule_id,
        coalesce(words.rule_words, q.rule_id) as rule_words,
        q.is_first_rule,
        q.rows_quarantined
    from {{ ref('fct_quarantine_daily') }} as q
    left join words on q.contract_id = words.contract_id and q.rule_id = words.rule_id
)

{{ conform('counted') }}
