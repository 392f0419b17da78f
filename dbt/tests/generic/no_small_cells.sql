{# No published cell stands for fewer records than the small-cell rule allows. #}
{% test no_small_cells(model, count) %}
select * from {{ model }} where {{ count }} < {{ var('small_cell_minimum') }}
{% endtest %}
