{{ config(materialized='incremental', meta={'touched': {'record_id': 'int_customers__touched_records'}}) }}

with recorded as (

    select
        *,
        source || ' ' || record_key as record_id
    from {{ ref('int_customer_versions__unioned') }}

),

versions as (

    {{ attributes_in_company_currency('recorded', 'customer_versions', also=['record_id']) }}

)

-- the columns are the entity's: macros/union_entity.sql
select * -- noqa: AM04
from versions
where {{ is_touched('record_id', 'int_customers__touched_records') }}
