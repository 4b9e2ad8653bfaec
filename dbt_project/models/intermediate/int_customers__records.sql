{{ config(materialized='incremental', meta={'touched': {'record_id': 'int_customers__touched_records'}}) }}

with recorded as (

    select
        *,
        source || ' ' || record_key as record_id
    from {{ ref('int_customers__unioned') }}

),

records as (

    {{ attributes_in_company_currency('recorded', 'customers', also=['record_id']) }}

)

-- the columns are the entity's: macros/union_entity.sql
select * -- noqa: AM04
from records
where {{ is_touched('record_id', 'int_customers__touched_records') }}
