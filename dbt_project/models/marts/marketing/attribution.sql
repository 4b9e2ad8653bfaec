with touches as (

    select * from {{ ref('int_order_touches') }}

),

attributed as (

    {% for model in ['first', 'last', 'linear'] %}
    select
        '{{ model }}' as attribution_model,
        campaign_key,
        channel,
        order_key,
        customer_key,
        {{ model }}_amount as attributed_amount
    from touches
    where {{ model }}_amount is not null
    {{ 'union all' if not loop.last }}
    {% endfor %}

)

select
    attribution_model,
    campaign_key,
    channel,
    count(distinct order_key) as order_count,
    count(distinct customer_key) as customer_count,
    cast(sum(attributed_amount) as decimal(18, 2)) as attributed_amount
from attributed
group by attribution_model, campaign_key, channel
