-- Rows set aside, by rule and day, over the quarantine tables of all contracts. A row that broke several rules counts
-- once under each; is_first_rule counts every row once. The original text never leaves the restricted zone.
with rows_aside as (
    {{ quarantine_rows() }}
),

rules as (
    select
        business_date,
        contract_id,
        source_system,
        unnest(string_split(rule_ids, ',')) as rule_id,
        generate_subscripts(string_split(rule_ids, ','), 1) = 1 as is_first_rule
    from rows_aside
),

counted as (
    select
        business_date,
        contract_id,
        coalesce(source_system, 'Not stated') as source_system,
        trim(rule_id) as rule_id,
        is_first_rule,
        count(*) as rows_quarantined
    from rules
    group by all
)

{{ conform('counted') }}
