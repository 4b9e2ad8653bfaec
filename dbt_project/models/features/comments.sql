with places as (

    select * from {{ ref('int_comments__unioned') }}

),

products as (

    select
        product_key,
        category
    from {{ ref('dim_products') }}

)

select
    responses.response_key,
    responses.source,
    responses.survey,
    responses.channel,
    products.category,
    responses.responded_on,
    cast(
        (responses.score - responses.lowest_score) / nullif(responses.highest_score - responses.lowest_score, 0)
        as double
    ) as score_share,
    responses.comment_language,
    responses.comment_sentiment,
    responses.comment_topics,

    -- where the text lies in the vault
    places.comment_table,
    places.comment_column,
    places.comment_file,
    places.comment_line
from {{ ref('fct_survey_responses') }} as responses
left join places on responses.response_key = places.response_key
left join products on responses.product_key = products.product_key
