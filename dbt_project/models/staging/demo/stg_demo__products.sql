{{ config(meta={'rebuilt_by': 'product'}) }}

with source as (

    select * from {{ raw_rows('demo', 'products') }}

),

renamed as (

    select
        -- ids
        {{ product_key('demo', 'sku') }} as product_key,
        'demo' as source,

        -- attributes
        product_name,
        category,
        subcategory,
        is_merchandise

    from source

)

select * from renamed
