{{ config(meta={'rebuilt_by': 'product'}) }}

with source as (

    select * from {{ raw_versions('demo', 'products') }}

),

renamed as (

    select
        -- ids
        {{ product_key('demo', 'sku') }} as product_key,
        'demo' as source,

        -- when the record became so
        cast(updated_at as timestamp) as changed_at,

        -- attributes
        product_name,
        category,
        subcategory,
        is_merchandise

    from source

)

select * from renamed
