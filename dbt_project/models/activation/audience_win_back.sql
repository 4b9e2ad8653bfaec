{#- Who left within half a year and had come back at least once before. -#}
{%- set since_days = 180 -%}

with settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

lifecycle as (

    select lifecycle.*
    from {{ ref('customer_lifecycle') }} as lifecycle
    inner join {{ ref('lifecycle_stages') }} as stages on lifecycle.lifecycle_stage = stages.stage_name
    where stages.stage = 'leaving'

),

customer_values as (

    select * from {{ ref('customer_value') }}

)

select
    lifecycle.customer_key,
    settings.as_of,
    'last order on ' || cast(customer_values.last_order_on as {{ dbt.type_string() }}) as reason,
    customer_values.last_order_on
from lifecycle
inner join settings
    on
        lifecycle.as_of = settings.as_of
        and lifecycle.stage_since_on > {{ add_days('settings.as_of', -since_days) }}
inner join customer_values
    on
        lifecycle.customer_key = customer_values.customer_key
        and lifecycle.as_of = customer_values.as_of
where customer_values.order_count >= 2 and customer_values.net_amount > 0
