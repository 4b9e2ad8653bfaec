with reviews as (

    select * from {{ source('reviews_zh', 'reviews') }}

),

-- the file numbers nothing, so a review is known by its place in it, and a new file rebuilds everything
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
        -- ids: reviewers are anonymous
        {{ entity_key('reviews_zh', 'review_id') }} as response_key,
        'reviews_zh' as source,
        cast(null as {{ dbt.type_string() }}) as customer_key,
        {{ product_key('reviews_zh', 'category') }} as product_key,
        cast(null as {{ dbt.type_string() }}) as order_key,
        cast(null as {{ dbt.type_string() }}) as ticket_key,

        -- what was asked
        'review' as survey,
        'label' as question,
        'web' as channel,
        cast(null as timestamp) as responded_at,

        -- the answer
        cast(label as decimal(18, 3)) as score,
        cast(0 as decimal(18, 3)) as lowest_score,
        cast(1 as decimal(18, 3)) as highest_score,
        cast(1 as decimal(18, 4)) as question_weight,

        -- what is known of the comment
        review_length as comment_length,
        review_language as comment_language,
        review_sentiment as comment_sentiment,
        review_topics as comment_topics

    from numbered

)

select * from renamed
