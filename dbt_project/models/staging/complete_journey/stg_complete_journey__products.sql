with source as (

    select * from {{ source('complete_journey', 'products') }}

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
        not (
            coalesce(department, '') in ('COUPON', 'POSTAL CENTER', 'CHARITABLE CONT', 'CNTRL/STORE SUP')
            or coalesce(product_type, '') like '%GIFT CARD%'
            or coalesce(product_type, '') in ('DONATIONS', 'MISC SALES TRANS')
        ) as is_merchandise

    from source

)

select * from renamed
