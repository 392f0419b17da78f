-- Every column of silver, marts and serving with its grade and category, read from what dbt itself knows.
with columns_known as (
    {{ graded_columns() }}
)

{{ conform('columns_known') }}
