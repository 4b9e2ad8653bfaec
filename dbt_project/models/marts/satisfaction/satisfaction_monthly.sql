with sums as (

    select * from {{ ref('int_satisfaction__sums') }}
    where month is not null

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
    sums.month,
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
