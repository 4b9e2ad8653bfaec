with consents as (

    select
        consent_key,
        customer_key,
        coalesce(channel, 'any') as channel,
        coalesce(purpose, 'any') as purpose,
        changed_at,
        is_granted
    from {{ ref('fct_consents') }}
    where customer_key is not null and is_granted is not null

),

-- the last answer counts; of two at one time a refusal does
ranked as (

    select
        *,
        row_number() over (
            partition by customer_key, channel, purpose
            order by changed_at asc nulls first, is_granted desc, consent_key asc
        ) as answer_number,
        row_number() over (
            partition by customer_key, channel, purpose
            order by changed_at desc nulls last, is_granted asc, consent_key desc
        ) as latest_rank,
        lag(is_granted) over (
            partition by customer_key, channel, purpose
            order by changed_at asc nulls first, is_granted desc, consent_key asc
        ) as answer_before
    from consents

),

-- it holds since the answer changed last, not since it was given again
current_since as (

    select
        customer_key,
        channel,
        purpose,
        max_by(changed_at, answer_number) as since_at
    from ranked
    where answer_before is null or answer_before <> is_granted
    group by customer_key, channel, purpose

)

select
    ranked.customer_key,
    ranked.channel,
    ranked.purpose,
    ranked.is_granted,
    current_since.since_at
from ranked
inner join current_since
    on
        ranked.customer_key = current_since.customer_key
        and ranked.channel = current_since.channel
        and ranked.purpose = current_since.purpose
where ranked.latest_rank = 1
