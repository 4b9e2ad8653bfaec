{{ config(meta={'rebuilt_by': 'response'}) }}

-- all rows, also of a partial build: where a text lies changes when a file is renamed
with source as (

    select * from {{ source('reviews_en', 'reviews') }}

),

renamed as (

    select
        {{ entity_key('reviews_en', 'review_id') }} as response_key,
        'reviews_en' as source,
        'reviews' as comment_table,
        'review_text' as comment_column,
        _file as comment_file,
        cast(_line as bigint) as comment_line
    from source

)

select * from renamed
