{{ config(materialized='table') }}

with named as (

    select product_key from {{ ref('int_orders__touched') }}

    union

    select product_key from {{ lines_made() }}
    where {{ is_touched('order_key', 'int_orders__touched') }}

    union

    select product_key from {{ ref('int_returns__unioned') }}
    where {{ is_touched('document_key', 'int_orders__touched') }}

    union

    select product_key from {{ ref('int_products__touched_records') }}
    {{ named_by_touched_facts('product') }}

)

select product_key
from named
where
    product_key is not null
    -- where everything is rebuilt, nothing has to be singled out
    and {{ 'true' if in_part() or not execute else 'false' }}
