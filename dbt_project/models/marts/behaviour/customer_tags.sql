with settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

tags as (

    select
        segments.customer_key,
        'rule' as tag_kind,
        segments.rule_segment as tag,
        segments.since_on
    from {{ ref('customer_rule_segments') }} as segments
    inner join settings on segments.as_of = settings.as_of

    union all

    select
        customer_key,
        'interest' as tag_kind,
        category as tag,
        first_bought_on as since_on
    from {{ ref('customer_interests') }}
    where is_interest

    union all

    select
        lifecycle.customer_key,
        'lifecycle' as tag_kind,
        lifecycle.lifecycle_stage as tag,
        lifecycle.stage_since_on as since_on
    from {{ ref('customer_lifecycle') }} as lifecycle
    inner join settings on lifecycle.as_of = settings.as_of

    union all

    -- a tag that several sources gave, or one of them twice, is one
    select
        given.customer_key,
        'landed' as tag_kind,
        given.tag,
        min(given.tagged_on) as since_on
    from {{ ref('fct_customer_tags') }} as given
    cross join settings
    where
        given.customer_key is not null
        and (given.tagged_on is null or given.tagged_on <= settings.as_of)
        and (given.untagged_on is null or given.untagged_on > settings.as_of)
    group by given.customer_key, given.tag

)

select
    tags.customer_key,
    settings.as_of,
    tags.tag_kind,
    tags.tag,
    tags.since_on
from tags
cross join settings
