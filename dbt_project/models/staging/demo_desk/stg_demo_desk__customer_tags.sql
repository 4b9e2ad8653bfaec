{{ config(meta={'rebuilt_by': 'tag'}) }}

with source as (

    select * from {{ raw_rows('demo_desk', 'customer_tags') }}

),

renamed as (

    select
        -- ids
        {{ entity_key('demo_desk', 'tag_no') }} as tag_key,
        'demo_desk' as source,
        {{ customer_key('demo_desk', 'customer_no') }} as customer_key,

        -- agents write one tag in several ways
        lower(trim(tag)) as tag,
        cast(tagged_at as timestamp) as tagged_at,
        cast(untagged_at as timestamp) as untagged_at

    from source

)

select * from renamed
