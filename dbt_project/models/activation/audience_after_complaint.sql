{#- Who complained and was answered: whether all is well is asked once the matter is closed. -#}
{%- set after_days = 30 -%}

with settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

tickets as (

    select * from {{ ref('fct_tickets') }}
    where customer_key is not null

),

complaints as (

    select
        tickets.customer_key,
        max(tickets.resolved_on) as resolved_on
    from tickets
    inner join settings
        on
            tickets.resolved_on <= settings.as_of
            and tickets.resolved_on > {{ add_days('settings.as_of', -after_days) }}
    where tickets.is_complaint and not tickets.is_open
    group by tickets.customer_key

),

waiting as (

    select distinct customer_key
    from tickets
    where is_open

)

select
    complaints.customer_key,
    settings.as_of,
    'complaint resolved on ' || cast(complaints.resolved_on as {{ dbt.type_string() }}) as reason,
    complaints.resolved_on
from complaints
cross join settings
left join waiting on complaints.customer_key = waiting.customer_key
where waiting.customer_key is null
