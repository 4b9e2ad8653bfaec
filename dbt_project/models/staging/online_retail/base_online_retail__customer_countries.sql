{{ config(
    materialized='incremental',
    meta={
        'rebuilt_by': 'customer', 'grows': true,
        'touched': {'record_id': 'int_customers__touched_records'},
    },
) }}

with invoiced as (

    select
        {{ online_retail_customer_id() }} as customer_id,
        country,
        invoiced_at
    from {{ raw_news('online_retail', 'transactions') }}
    where customer_id is not null

),

-- few pairs: the latest country is found among them instead of among the lines
seen as (

    select
        customer_id,
        country,
        min(invoiced_at) as first_invoiced_at,
        max(invoiced_at) as last_invoiced_at
    from invoiced
    group by customer_id, country

),

countries as (

    select
        'online_retail ' || {{ customer_key('online_retail', 'customer_id') }} as record_id,
        trim(customer_id) as customer_id,
        nullif(trim(country), '') as country,
        first_invoiced_at,
        last_invoiced_at
    from seen
    where trim(customer_id) <> ''

    {{- grown_before(
        ['record_id', 'customer_id', 'country', 'first_invoiced_at', 'last_invoiced_at'],
        'int_customers__touched_records'
    ) }}

)

select
    record_id,
    customer_id,
    country,
    min(first_invoiced_at) as first_invoiced_at,
    max(last_invoiced_at) as last_invoiced_at
from countries
group by record_id, customer_id, country
