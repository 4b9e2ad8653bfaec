with settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

contacts as (

    select
        {{ month_of(business_day('contacted_at')) }} as month,
        coalesce(channel, 'unknown') as channel,
        customer_key
    from {{ ref('int_contacts') }}
    where contacted_at is not null

),

active as (

    select
        customer_key,
        order_month as month
    from {{ ref('int_customer_months') }}

),

counted as (

    select
        contacts.month,
        contacts.channel,
        count(*) as contact_count,
        count(distinct contacts.customer_key) as contact_customers,
        count(distinct active.customer_key) as active_contact_customers
    from contacts
    left join active
        on
            contacts.customer_key = active.customer_key
            and contacts.month = active.month
    group by contacts.month, contacts.channel

),

active_months as (

    select
        month,
        count(*) as active_customers
    from active
    group by month

),

order_months as (

    select
        {{ month_of('ordered_on') }} as month,
        {{ measure('order_count') }} as order_count
    from {{ ref('fct_orders') }}
    group by {{ month_of('ordered_on') }}

)

select
    counted.month,
    counted.channel,
    {{ add_days(add_months('counted.month', 1), -1) }} <= settings.as_of as is_complete,
    counted.contact_count,
    counted.contact_customers,
    cast(counted.active_contact_customers as double) / active_months.active_customers as contacts_per_hour,
    cast(counted.contact_count as double) / order_months.order_count as contacts_per_order
from counted
cross join settings
left join active_months on counted.month = active_months.month
left join order_months on counted.month = order_months.month
