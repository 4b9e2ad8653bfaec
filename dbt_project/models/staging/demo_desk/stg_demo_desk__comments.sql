{{ config(meta={'rebuilt_by': 'response'}) }}

-- all rows, also of a partial build: where a text lies changes when a file is renamed
with source as (

    select * from {{ source('demo_desk', 'survey_responses') }}

),

renamed as (

    select
        {{ entity_key('demo_desk', 'response_no') }} as response_key,
        'demo_desk' as source,
        'survey_responses' as comment_table,
        'comment' as comment_column,
        _file as comment_file,
        cast(_line as bigint) as comment_line
    from source

)

select * from renamed
