{{ config(meta={'rebuilt_by': 'product'}) }}

with categories as (

    select distinct trim(category) as category from {{ raw_rows('reviews_zh', 'reviews') }}

),

renamed as (

    select
        -- ids: the corpus names the category only
        {{ product_key('reviews_zh', 'category') }} as product_key,
        'reviews_zh' as source,

        -- attributes
        category as product_name,
        category,
        cast(null as {{ dbt.type_string() }}) as subcategory,
        true as is_merchandise

    from categories

)

select * from renamed
