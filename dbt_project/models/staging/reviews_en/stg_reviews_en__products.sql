{{ config(meta={'rebuilt_by': 'product'}) }}

with reviews as (

    select * from {{ raw_rows('reviews_en', 'reviews') }}

),

-- one piece stands in two classes: the first by name counts
described as (

    select
        clothing_id,
        min(department_name) as department_name,
        min(class_name) as class_name
    from reviews
    group by clothing_id

),

renamed as (

    select
        -- ids
        {{ product_key('reviews_en', 'clothing_id') }} as product_key,
        'reviews_en' as source,

        -- attributes
        cast(null as {{ dbt.type_string() }}) as product_name,
        department_name as category,
        class_name as subcategory,
        true as is_merchandise

    from described

)

select * from renamed
