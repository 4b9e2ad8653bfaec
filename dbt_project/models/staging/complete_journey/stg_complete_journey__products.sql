{{ config(meta={'rebuilt_by': 'product'}) }}

with source as (

    select * from {{ raw_rows('complete_journey', 'products') }}

),

renamed as (

    select
        -- ids
        {{ product_key('complete_journey', 'product_id') }} as product_key,
        'complete_journey' as source,

        -- attributes: the package names no single product; its type and size come closest
        nullif(trim(coalesce(product_type, '') || ' ' || coalesce(package_size, '')), '') as product_name,
        department as category,
        product_category as subcategory,
        coalesce(department, '') not in ('COUPON', 'POSTAL CENTER', 'CHARITABLE CONT', 'CNTRL/STORE SUP')
        and coalesce(product_type, '') not in ('DONATIONS', 'MISC SALES TRANS')
        and coalesce(product_type, '') not like '%GIFT CARD%' as is_merchandise

    from source

)

select * from renamed
