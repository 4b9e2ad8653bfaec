{{ config(materialized='incremental', meta={'touched': {'product_key': 'int_products__touched'}}) }}

with records as (

    select * from {{ ref('int_products__records') }}
    where {{ is_touched('product_key', 'int_products__touched') }}

),

-- sources may share a namespace: each attribute from the first source that knows it
described as (

    select
        product_key,
        min(source) as source,
        min_by(product_name, case when product_name is not null then source end) as product_name,
        min_by(category, case when category is not null then source end) as category,
        min_by(subcategory, case when subcategory is not null then source end) as subcategory,
        bool_and(is_merchandise) as is_merchandise
    from records
    group by product_key

),

sightings as (

    select
        product_key,
        source
    from {{ ref('int_products__ordered') }}
    where {{ is_touched('product_key', 'int_products__touched') }}

    union all

    select
        product_key,
        min(source) as source
    from {{ ref('fct_returns') }}
    where {{ is_touched('product_key', 'int_products__touched') }}
    group by product_key

    union all

    select
        product_key,
        min(source) as source
    from {{ ref('int_products__mentioned') }}
    where {{ is_touched('product_key', 'int_products__touched') }}
    group by product_key

),

seen as (

    select
        product_key,
        min(source) as source
    from sightings
    group by product_key

)

select
    coalesce(described.product_key, seen.product_key) as product_key,
    coalesce(described.source, seen.source) as source,
    described.product_key is null as is_stub,
    described.product_name,
    described.category,
    described.subcategory,
    -- what nobody described counts as goods
    coalesce(described.is_merchandise, true) as is_merchandise
from described
full outer join seen on described.product_key = seen.product_key
