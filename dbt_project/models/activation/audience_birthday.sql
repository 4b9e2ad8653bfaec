{#- Who bought so recently that a greeting is welcome; whose birthday it is, only the vault knows. -#}
{%- set active_days = 730 -%}

with settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

customer_values as (

    select * from {{ ref('customer_value') }}

)

select
    customer_values.customer_key,
    settings.as_of,
    'birthday of a customer' as reason
from customer_values
inner join settings
    on
        customer_values.as_of = settings.as_of
        and customer_values.last_order_on > {{ add_days('settings.as_of', -active_days) }}
