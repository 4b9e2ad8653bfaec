{{ config(materialized='incremental', meta={'touched': {'customer_key': 'int_customers__touched'}}) }}

{%- set attributes = [
    'country', 'region', 'city', 'acquisition_channel', 'gender', 'birth_year', 'income_amount',
    'education', 'occupation', 'is_marketing_allowed',
] -%}

with dimension as (

    select
        customer_key,
        source,
        is_stub,
        first_seen_at
    from {{ ref('dim_customers') }}
    where {{ is_touched('customer_key', 'int_customers__touched') }}

),

records as (

    select
        *,
        {{ record_precedence() }} as precedence
    from {{ ref('int_customers__records') }}
    where {{ is_touched('customer_key', 'int_customers__touched') }}

),

versions as (

    select
        *,
        {{ record_precedence() }} as precedence
    from {{ ref('int_customers__versions') }}
    where {{ is_touched('customer_key', 'int_customers__touched') }}

),

{{ history_of('customer_key', attributes) }}
