{{ config(materialized='incremental', meta={'touched': {'inventory_key': 'int_inventory__touched'}}) }}

with counted as (

    select * from {{ ref('int_inventory__unioned') }}
    where {{ is_touched('inventory_key', 'int_inventory__touched') }}

)

select
    inventory_key,
    source,
    product_key,
    counted_at,
    {{ business_day('counted_at') }} as counted_on,
    on_hand_quantity,
    on_order_quantity,
    lead_time_days
from counted
