{{ config(materialized='incremental', meta={'touched': {'tag_key': 'int_customer_tags__touched'}}) }}

with tags as (

    select * from {{ ref('int_customer_tags__unioned') }}
    where {{ is_touched('tag_key', 'int_customer_tags__touched') }}

)

select
    tag_key,
    source,
    customer_key,
    tag,
    tagged_at,
    {{ business_day('tagged_at') }} as tagged_on,
    untagged_at,
    {{ business_day('untagged_at') }} as untagged_on
from tags
