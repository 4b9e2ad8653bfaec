{{ config(materialized='incremental', meta={'touched': {'response_key': 'int_survey_responses__touched'}}) }}

with responses as (

    select * from {{ ref('int_survey_responses__unioned') }}
    where {{ is_touched('response_key', 'int_survey_responses__touched') }}

)

select
    response_key,
    source,
    customer_key,
    product_key,
    order_key,
    ticket_key,
    survey,
    question,
    channel,
    responded_at,
    {{ business_day('responded_at') }} as responded_on,
    score,
    lowest_score,
    highest_score,
    question_weight,

    -- on a scale of three points or fewer only the best one is at the top
    score >= case when highest_score - lowest_score >= 3 then highest_score - 1 else highest_score end as is_top_box,
    {{ nps_class('score', 'lowest_score', 'highest_score') }} as nps_class,

    comment_length,
    comment_language,
    comment_sentiment,
    comment_topics
from responses
