with settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

only_the_current_day as (

    select
        as_of,
        true as is_current
    from settings

),

month_ends as (

    {% for months_back in range(12) %}
    select
        {{ add_days(add_months(month_of('as_of'), -months_back), -1) }} as as_of,
        false as is_current
    from settings
    {{ 'union all' if not loop.last }}
    {% endfor %}

)

select * from only_the_current_day

union all

select * from month_ends
