with customers as (

    select * from {{ ref('dim_customers') }}

),

settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

rfm as (

    select * from {{ ref('customer_rfm') }}

),

customer_values as (

    select * from {{ ref('customer_value') }}

),

lifecycle as (

    select * from {{ ref('customer_lifecycle') }}

),

demographics as (

    select * from {{ ref('customer_demographics') }}

),

payment_risk as (

    select * from {{ ref('customer_payment_risk') }}

),

service as (

    select * from {{ ref('customer_service') }}

),

satisfaction as (

    select * from {{ ref('customer_satisfaction') }}

),

scored as (

    select * from {{ ref('customer_score') }}

),

interests as (

    select * from {{ ref('customer_interests') }}
    where interest_rank = 1 and is_interest

),

distinct_tags as (

    select distinct
        customer_key,
        tag
    from {{ ref('customer_tags') }}

),

tagged as (

    select
        customer_key,
        {{ dbt.listagg('tag', "', '", 'order by tag') }} as tags
    from distinct_tags
    group by customer_key

),

segments as (

    select * from {{ source('scores', 'customer_segments') }}

),

clv as (

    select * from {{ source('scores', 'customer_clv') }}

),

churn as (

    select * from {{ source('scores', 'customer_churn') }}

),

offers as (

    select
        recommended.customer_key,
        recommended.as_of,
        coalesce(products.product_name, recommended.product_key) as next_offer
    from {{ source('scores', 'customer_recommendations') }} as recommended
    left join {{ ref('dim_products') }} as products on recommended.product_key = products.product_key
    where recommended.recommendation_rank = 1

)

select
    customers.customer_key,
    settings.as_of,

    -- who they are
    customers.source,
    customers.is_stub,
    customers.first_seen_at,
    customers.first_order_on,
    customers.country,
    customers.region,
    customers.city,
    customers.acquisition_channel,
    customers.gender,
    customers.birth_year,
    customers.income_amount,
    customers.education,
    customers.occupation,
    customers.is_marketing_allowed,

    -- what they did
    rfm.recency_days,
    coalesce(customer_values.order_count, 0) as order_count,
    rfm.recency_score,
    rfm.frequency_score,
    rfm.monetary_score,
    rfm.rfm_segment,
    customer_values.gross_amount,
    customer_values.returned_amount,
    customer_values.net_amount,
    customer_values.margin_amount,
    customer_values.average_order_amount,
    customer_values.single_event_amount,
    customer_values.cumulative_amount,
    customer_values.discounted_amount,
    customer_values.last_order_on,
    customer_values.contribution_share,
    lifecycle.lifecycle_stage,
    lifecycle.previous_stage,
    lifecycle.stage_since_on,

    -- how they are
    demographics.age_band,
    demographics.income_band,
    interests.category as main_interest,
    coalesce(tagged.tags, '') as tags,
    scored.customer_score,
    payment_risk.risk_band as payment_risk_band,

    -- how they are served, and what they think of it
    coalesce(service.open_ticket_count, 0) as open_ticket_count,
    coalesce(service.complaint_count, 0) as complaint_count,
    service.last_contact_at,
    service.preferred_channel,
    satisfaction.csat_mean,
    satisfaction.nps_class,

    -- what the models say
    segments.status as segment_status,
    segments.segment_name,
    clv.status as clv_status,
    clv.clv_amount,
    churn.status as churn_status,
    churn.churn_probability,
    churn.risk_band,
    offers.next_offer
from customers
cross join settings
left join rfm
    on
        customers.customer_key = rfm.customer_key
        and settings.as_of = rfm.as_of
left join customer_values on customers.customer_key = customer_values.customer_key
inner join lifecycle
    on
        customers.customer_key = lifecycle.customer_key
        and settings.as_of = lifecycle.as_of
left join demographics on customers.customer_key = demographics.customer_key
left join payment_risk on customers.customer_key = payment_risk.customer_key
left join service on customers.customer_key = service.customer_key
left join satisfaction on customers.customer_key = satisfaction.customer_key
left join scored on customers.customer_key = scored.customer_key
left join interests on customers.customer_key = interests.customer_key
left join tagged on customers.customer_key = tagged.customer_key
left join segments
    on
        customers.customer_key = segments.customer_key
        and settings.as_of = segments.as_of
left join clv
    on
        customers.customer_key = clv.customer_key
        and settings.as_of = clv.as_of
left join churn
    on
        customers.customer_key = churn.customer_key
        and settings.as_of = churn.as_of
left join offers
    on
        customers.customer_key = offers.customer_key
        and settings.as_of = offers.as_of
