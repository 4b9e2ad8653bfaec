with answers as (

    select
        *,
        -- undated answers come first, so any dated one is newer
        row_number() over (
            partition by customer_key order by score is not null, responded_at nulls first, response_key
        ) as answer_number,
        row_number() over (
            partition by customer_key order by nps_class is not null, responded_at nulls first, response_key
        ) as nps_number,
        count(*) over (partition by customer_key) as answer_count
    from {{ ref('fct_survey_responses') }}
    where customer_key is not null

),

-- each scale brought to 1 to 5, each answer rounded, so that a sum does not depend on the order of rows
summed as (

    select
        customer_key,
        {{ measure('response_count') }} as response_count,
        {{ measure('csat_total') }} as csat_total,
        {{ measure('csat_count') }} as csat_count,
        max(case when answer_number = answer_count then score end) as last_score,
        max(case when answer_number = answer_count then highest_score end) as last_highest_score,
        max(case when answer_number = answer_count then survey end) as last_survey,
        max(responded_at) as last_responded_at,
        max(case when nps_number = answer_count then nps_class end) as nps_class,
        {{ measure('comment_count') }} as comment_count,
        {{ measure('sentiment_total') }} as sentiment_total,
        {{ measure('sentiment_count') }} as sentiment_count
    from answers
    group by customer_key

)

select
    customer_key,
    response_count,
    {{ metric('csat_mean') }} as csat_mean,
    last_score,
    last_highest_score,
    last_survey,
    last_responded_at,
    {{ business_day('last_responded_at') }} as last_responded_on,
    nps_class,
    comment_count,
    {{ metric('sentiment_mean') }} as sentiment_mean
from summed
