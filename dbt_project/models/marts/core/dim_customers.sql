{{ config(materialized='incremental', meta={'touched': {'customer_key': 'int_customers__touched'}}) }}

{%- set attributes = [
    'country', 'region', 'city', 'acquisition_channel', 'gender', 'birth_year', 'income_amount',
    'education', 'occupation', 'is_marketing_allowed',
] -%}

with records as (

    select
        *,
        {{ record_precedence() }} as precedence
    from {{ ref('int_customers__records') }}
    where {{ is_touched('customer_key', 'int_customers__touched') }}

),

-- each attribute from the first record that knows it
described as (

    select
        customer_key,
        min_by(source, precedence) as source,
        {% for attribute in attributes %}
        {{ first_known(attribute) }} as {{ attribute }},
        {% endfor %}
        min(recorded_at) as recorded_at
    from records
    group by customer_key

),

-- whoever a fact names is a customer, with a record or without
sightings as (

    select
        customer_key,
        min(source) as source,
        min(ordered_at) as seen_at,
        min(ordered_on) as first_order_on
    from {{ ref('int_orders__sequenced') }}
    where customer_key is not null and {{ is_touched('customer_key', 'int_customers__touched') }}
    group by customer_key

    union all

    select
        customer_key,
        source,
        first_ordered_at as seen_at,
        cast(null as date) as first_order_on
    from {{ ref('int_customers__ordered') }}
    where {{ is_touched('customer_key', 'int_customers__touched') }}

    union all

    select
        customer_key,
        min(source) as source,
        min(returned_at) as seen_at,
        cast(null as date) as first_order_on
    from {{ ref('fct_returns') }}
    where customer_key is not null and {{ is_touched('customer_key', 'int_customers__touched') }}
    group by customer_key

    union all

    select
        customer_key,
        min(source) as source,
        min(seen_at) as seen_at,
        cast(null as date) as first_order_on
    from {{ ref('int_customers__mentioned') }}
    where {{ is_touched('customer_key', 'int_customers__touched') }}
    group by customer_key

),

seen as (

    select
        customer_key,
        min(source) as source,
        min(seen_at) as seen_at,
        min(first_order_on) as first_order_on
    from sightings
    group by customer_key

)

select
    coalesce(described.customer_key, seen.customer_key) as customer_key,
    coalesce(described.source, seen.source) as source,
    described.customer_key is null as is_stub,
    {% for attribute in attributes %}
    described.{{ attribute }},
    {% endfor %}
    least(described.recorded_at, seen.seen_at) as first_seen_at,
    seen.first_order_on
from described
full outer join seen on described.customer_key = seen.customer_key
