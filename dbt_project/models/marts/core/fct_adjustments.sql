{{ config(materialized='incremental', meta={'touched': {'document_key': 'int_orders__touched'}}) }}

with adjustments as (

    select * from {{ ref('int_adjustments__unioned') }}
    where {{ is_touched('document_key', 'int_orders__touched') }}

)

select
    adjustment_key,
    document_key,
    source,
    adjusted_at,
    reason,
    quantity,
    adjusted_amount
from adjustments
