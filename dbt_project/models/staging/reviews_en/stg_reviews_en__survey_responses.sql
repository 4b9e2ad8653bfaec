{{ config(meta={'rebuilt_by': 'response'}) }}

with reviews as (

    select * from {{ raw_rows('reviews_en', 'reviews') }}

),

renamed as (

    select
        -- ids: reviewers are anonymous
        {{ entity_key('reviews_en', 'review_id') }} as response_key,
        'reviews_en' as source,
        cast(null as {{ dbt.type_string() }}) as customer_key,
        {{ product_key('reviews_en', 'clothing_id') }} as product_key,
        cast(null as {{ dbt.type_string() }}) as order_key,
        cast(null as {{ dbt.type_string() }}) as ticket_key,

        -- what was asked
        'review' as survey,
        'rating' as question,
        'web' as channel,
        cast(null as timestamp) as responded_at,

        -- the answer
        cast(rating as decimal(18, 3)) as score,
        cast(1 as decimal(18, 3)) as lowest_score,
        cast(5 as decimal(18, 3)) as highest_score,
        cast(1 as decimal(18, 4)) as question_weight,

        -- what is known of the comment
        review_text_length as comment_length,
        review_text_language as comment_language,
        review_text_sentiment as comment_sentiment,
        review_text_topics as comment_topics

    from reviews

)

select * from renamed
