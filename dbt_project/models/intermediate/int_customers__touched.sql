{{ config(materialized='table') }}

with records as (

    select * from {{ ref('int_customers__touched_records') }}

),

links as (

    select * from {{ ref('int_customer_links__unioned') }}

),

-- whom changed documents named before, whom they name now, and whose record changed
named as (

    select customer_key from {{ ref('int_orders__touched') }}

    union

    select customer_key from {{ lines_made() }}
    where {{ is_touched('order_key', 'int_orders__touched') }}

    union

    select customer_key from {{ ref('int_orders__summed') }}
    where {{ is_touched('order_key', 'int_orders__touched') }}

    union

    select customer_key from {{ ref('int_returns__unioned') }}
    where {{ is_touched('document_key', 'int_orders__touched') }}

    union

    select customer_key from records

    union

    select links.linked_customer_key as customer_key
    from records
    inner join links on records.customer_key = links.customer_key
    {{ named_by_touched_facts('customer') }}

)

select customer_key
from named
where
    customer_key is not null
    -- where everything is rebuilt, nobody has to be singled out
    and {{ 'true' if in_part() or not execute else 'false' }}
