{{ config(materialized='incremental', meta={'touched': {'product_key': 'int_products__touched'}}) }}

with sightings as (

    select
        product_key,
        first_ordered_at as seen_at
    from {{ ref('int_products__ordered') }}
    where {{ is_touched('product_key', 'int_products__touched') }}

    union all

    select
        product_key,
        min(returned_at) as seen_at
    from {{ ref('fct_returns') }}
    where {{ is_touched('product_key', 'int_products__touched') }}
    group by product_key

    union all

    select
        product_key,
        min(seen_at) as seen_at
    from {{ ref('int_products__mentioned') }}
    where {{ is_touched('product_key', 'int_products__touched') }}
    group by product_key

),

seen as (

    select
        product_key,
        min(seen_at) as first_seen_at
    from sightings
    group by product_key

),

dimension as (

    select
        products.product_key,
        products.source,
        products.is_stub,
        seen.first_seen_at
    from {{ ref('dim_products') }} as products
    left join seen on products.product_key = seen.product_key
    where {{ is_touched('products.product_key', 'int_products__touched') }}

),

-- the precedence of dim_products: by source
records as (

    select
        *,
        source as precedence
    from {{ ref('int_products__records') }}
    where {{ is_touched('product_key', 'int_products__touched') }}

),

versions as (

    select
        *,
        source as precedence
    from {{ ref('int_products__versions') }}
    where {{ is_touched('product_key', 'int_products__touched') }}

),

{{ history_of(
    'product_key', ['product_name', 'category', 'subcategory', 'is_merchandise'], all_true=['is_merchandise']
) }}
