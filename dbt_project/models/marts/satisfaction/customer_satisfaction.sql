with answers as (

    select
        *,
        -- each scale brought to 1 to 5, each answer rounded, so that the sum does not depend on the order of rows
        case
            when nps_class is null
                then cast(1 + 4 * (score - lowest_score) / nullif(highest_score - lowest_score, 0) as decimal(18, 6))
        end as csat_score,
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

)

select
    customer_key,
    count(score) as response_count,
    cast(sum(csat_score) as double) / nullif(count(csat_score), 0) as csat_mean,
    max(case when answer_number = answer_count then score end) as last_score,
    max(case when answer_number = answer_count then highest_score end) as last_highest_score,
    max(case when answer_number = answer_count then survey end) as last_survey,
    max(responded_at) as last_responded_at,
    {{ business_day('max(responded_at)') }} as last_responded_on,
    max(case when nps_number = answer_count then nps_class end) as nps_class,
    count(comment_length) as comment_count,
    cast(sum(cast(comment_sentiment as decimal(18, 6))) as double)
    / nullif(count(comment_sentiment), 0) as sentiment_mean
from answers
group by customer_key
