{{ config(meta={'rebuilt_by': 'product'}) }}

with products as (

    select * from {{ raw_rows('crm_sales', 'products') }}

),

renamed as (

    select
        -- ids: a product is known by its name
        {{ product_key('crm_sales', 'product') }} as product_key,
        'crm_sales' as source,

        -- attributes
        product as product_name,
        series as category,
        cast(null as {{ dbt.type_string() }}) as subcategory,
        true as is_merchandise

    from products

)

select * from renamed
