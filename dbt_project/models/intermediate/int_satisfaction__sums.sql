{{ config(materialized='table') }}

{%- set dimensions = {
    'all': "'all'", 'channel': 'channel', 'product': 'product_key', 'category': 'category', 'segment': 'rfm_segment',
} -%}

with settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

products as (

    select
        product_key,
        category
    from {{ ref('dim_products') }}

),

segments as (

    select
        ranked.customer_key,
        ranked.rfm_segment
    from {{ ref('customer_rfm') }} as ranked
    inner join settings on ranked.as_of = settings.as_of

),

answers as (

    select
        {{ month_of('responses.responded_on') }} as month,
        responses.survey,
        responses.lowest_score,
        responses.highest_score,
        responses.channel,
        responses.product_key,
        products.category,
        segments.rfm_segment,
        responses.score,
        coalesce(responses.question_weight, 1) as question_weight,
        responses.is_top_box,
        responses.nps_class,
        responses.comment_length,
        cast(responses.comment_sentiment as decimal(18, 6)) as comment_sentiment
    from {{ ref('fct_survey_responses') }} as responses
    left join products on responses.product_key = products.product_key
    left join segments on responses.customer_key = segments.customer_key

)

{% for kind, value in dimensions.items() -%}
select
    month,
    survey,
    lowest_score,
    highest_score,
    '{{ kind }}' as dimension_kind,
    {{ value }} as dimension_value,
    {{ measure('response_count') }} as response_count,
    cast(coalesce({{ measure('score_total') }}, 0) as decimal(38, 3)) as score_total,
    cast(coalesce(sum(score * score), 0) as decimal(38, 6)) as score_squares,
    cast(coalesce({{ measure('weighted_total') }}, 0) as decimal(38, 7)) as weighted_total,
    cast(coalesce({{ measure('weight_total') }}, 0) as decimal(38, 4)) as weight_total,
    {{ measure('top_box_count') }} as top_box_count,
    {{ measure('nps_count') }} as nps_count,
    {{ measure('promoter_count') }} as promoter_count,
    {{ measure('detractor_count') }} as detractor_count,
    {{ measure('comment_count') }} as comment_count,
    {{ measure('sentiment_count') }} as sentiment_count,
    cast(coalesce({{ measure('sentiment_total') }}, 0) as decimal(38, 6)) as sentiment_total,
    cast(coalesce(sum(comment_sentiment * comment_sentiment), 0) as decimal(38, 12)) as sentiment_squares,
    {{ measure('positive_comment_count') }} as positive_comment_count,
    {{ measure('negative_comment_count') }} as negative_comment_count
from answers
where {{ value }} is not null
group by month, survey, lowest_score, highest_score{{ ', ' ~ value if kind != 'all' }}
{{ 'union all' if not loop.last }}
{% endfor %}
