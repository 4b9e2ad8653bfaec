with reviews as (

    select * from {{ source('reviews_zh', 'reviews') }}

),

-- the same number as in stg_reviews_zh__survey_responses
numbered as (

    select
        *,
        trim(category) || '-' || cast(
            row_number() over (partition by trim(category) order by _file, _line) as {{ dbt.type_string() }}
        ) as review_id
    from reviews

),

renamed as (

    select
        {{ entity_key('reviews_zh', 'review_id') }} as response_key,
        'reviews_zh' as source,
        'reviews' as comment_table,
        'review' as comment_column,
        _file as comment_file,
        cast(_line as bigint) as comment_line
    from numbered

)

select * from renamed
