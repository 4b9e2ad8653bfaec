{{ config(meta={'rebuilt_by': 'response'}) }}

with source as (

    select * from {{ raw_rows('demo_desk', 'survey_responses') }}

),

renamed as (

    select
        -- ids
        {{ entity_key('demo_desk', 'response_no') }} as response_key,
        'demo_desk' as source,
        {{ customer_key('demo_desk', 'customer_no') }} as customer_key,
        {{ product_key('demo', 'sku') }} as product_key,
        {{ entity_key('demo', 'order_no') }} as order_key,
        {{ entity_key('demo_desk', 'ticket_no') }} as ticket_key,

        -- what was asked
        survey,
        question,
        channel,
        cast(responded_at as timestamp) as responded_at,

        -- the answer, on the survey's own scale
        cast(score as decimal(18, 3)) as score,
        cast(case survey when 'csat' then 1 else 0 end as decimal(18, 3)) as lowest_score,
        cast(case survey when 'csat' then 5 else 10 end as decimal(18, 3)) as highest_score,
        cast(1 as decimal(18, 4)) as question_weight,

        -- what is known of the comment
        comment_length,
        comment_language,
        comment_sentiment,
        comment_topics

    from source

)

select * from renamed
