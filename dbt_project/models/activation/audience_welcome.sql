{#- How long a new customer is new. -#}
{%- set welcome_days = 30 -%}

with settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

customers as (

    select * from {{ ref('dim_customers') }}

)

select
    customers.customer_key,
    settings.as_of,
    'first order on ' || cast(customers.first_order_on as {{ dbt.type_string() }}) as reason,
    customers.first_order_on
from customers
inner join settings
    on
        customers.first_order_on <= settings.as_of
        and customers.first_order_on > {{ add_days('settings.as_of', -welcome_days) }}
