-- The scenarios in force, and which of them the platform covers: every table an entry names has to exist in this project.
with scenarios as (
    select * from {{ ref('stg_reference__rail_scenario') }} where valid_to is null
),

named as (
    select
        code,
        unnest(string_split(covered_by, ' ')) as table_name
    from scenarios
    where covered_by is not null
),

absent as (
    select
        code,
        string_agg(table_name, ' ') as missing
    from named
    where table_name not in ('{{ project_tables() | join("', '") }}')
    group by code
),

seen as (
    select
        scenario_no,
        count(*) as events_seen
    from {{ ref('fct_chain_event') }}
    group by scenario_no
),

judged as (
    select
        cast(scenarios.code as integer) as scenario_no,
        scenarios.name as scenario,
        scenarios.steps,
        scenarios.events,
        scenarios.owner,
        scenarios.emitters,
        scenarios.covered_by,
        absent.missing,
        scenarios.covered_by is not null and absent.code is null as is_covered,
        coalesce(seen.events_seen, 0) as events_seen,
        scenarios.valid_from,
        scenarios.source
    from scenarios
    left join absent on scenarios.code = absent.code
    left join seen on cast(scenarios.code as integer) = seen.scenario_no
),

worded as (
    select
        *,
        case
            when is_covered and events_seen > 0 then 'Covered'
            when is_covered then 'Covered, no event yet'
            when events_seen > 0 then 'Milestones only'
            else 'Not covered'
        end as coverage
    from judged
)

{{ conform('worded') }}
