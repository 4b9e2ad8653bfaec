{#- all of these may be added up over months -#}
{%- set sums = [
    'response_count', 'score_total', 'score_squares', 'weighted_total', 'weight_total', 'top_box_count',
    'nps_count', 'promoter_count', 'detractor_count', 'comment_count', 'sentiment_count', 'sentiment_total',
    'sentiment_squares', 'positive_comment_count', 'negative_comment_count',
] -%}

with sums as (

    select
        {% for column in sums %}
        sum({{ column }}) as {{ column }},
        {% endfor %}
        survey,
        lowest_score,
        highest_score,
        dimension_kind,
        dimension_value
    from {{ ref('int_satisfaction__sums') }}
    group by survey, lowest_score, highest_score, dimension_kind, dimension_value

),

questions as (

    select
        survey,
        lowest_score,
        highest_score,
        count(distinct question) as question_count
    from {{ ref('fct_survey_responses') }}
    group by survey, lowest_score, highest_score

)

select
    sums.survey,
    sums.lowest_score,
    sums.highest_score,
    sums.dimension_kind,
    sums.dimension_value,
    {{ satisfaction_figures() }}
from sums
inner join questions
    on
        sums.survey = questions.survey
        and sums.lowest_score = questions.lowest_score
        and sums.highest_score = questions.highest_score
