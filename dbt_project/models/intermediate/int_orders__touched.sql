{{ config(materialized='table') }}

{% if not in_part() -%}

-- everything is rebuilt, so nothing has to be singled out
select
    cast(null as {{ dbt.type_string() }}) as document_key,
    cast(null as {{ dbt.type_string() }}) as order_key,
    cast(null as {{ dbt.type_string() }}) as held_order_key,
    cast(null as {{ dbt.type_string() }}) as customer_key,
    cast(null as {{ dbt.type_string() }}) as product_key
where false

{%- else -%}

with documents as (

    select distinct source || ':' || id as document_key
    from {{ touched_ids() }}
    where kind = 'order'

),

-- the orders among them that the last build knew: where it knew none, no line has to be looked for
held as (

    select
        order_key,
        customer_key
    from {{ as_built('int_orders__summed') }}
    where order_key in (select document_key from documents)

),

-- whom and what they named before this build replaces them
was as (

    select
        order_key as document_key,
        customer_key,
        product_key
    from {{ as_built('fct_order_items') }}
    where order_key in (select order_key from held)

    union

    select
        order_key as document_key,
        customer_key,
        cast(null as {{ dbt.type_string() }}) as product_key
    from held

    union

    select
        document_key,
        customer_key,
        product_key
    from {{ as_built('fct_returns') }}
    where document_key in (select document_key from documents)

)

select
    documents.document_key,
    documents.document_key as order_key,
    held.order_key as held_order_key,
    was.customer_key,
    was.product_key
from documents
left join held on documents.document_key = held.order_key
left join was on documents.document_key = was.document_key

{%- endif %}
