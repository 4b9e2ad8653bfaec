{{ config(
    materialized='incremental',
    meta={'touched': {
        'document_key': 'int_orders__touched',
        'opportunity_key': 'int_opportunities__touched',
        'payment_key': 'int_payments__touched',
        'subscription_key': 'int_subscriptions__touched',
        'touch_key': 'int_campaign_touches__touched',
    }},
) }}

{%- set keys = ['document_key', 'opportunity_key', 'payment_key', 'subscription_key', 'touch_key'] -%}

with orders as (

    select
        *,
        order_key as document_key
    from {{ ref('int_orders__unioned') }}
    where {{ is_touched('order_key', 'int_orders__touched') }}

),

items as (

    select * from {{ ref('int_order_items__unioned') }}
    where {{ is_touched('order_key', 'int_orders__touched') }}

),

-- without a time they are orphans: see int_order_items__orphaned
order_items as (

    select
        items.source,
        items.order_key as document_key,
        items.order_key || ' ' || items.line_number as line_key,
        items.line_amount,
        coalesce(items.ordered_at, orders.ordered_at) as ordered_at
    from items
    left join orders on items.order_key = orders.order_key
    where items.ordered_at is not null or orders.ordered_at is not null

),

returned as (

    select * from {{ ref('int_returns__unioned') }}
    where {{ is_touched('document_key', 'int_orders__touched') }}

),

adjustments as (

    select * from {{ ref('int_adjustments__unioned') }}
    where {{ is_touched('document_key', 'int_orders__touched') }}

),

subscriptions as (

    select * from {{ ref('int_subscriptions__unioned') }}
    where {{ is_touched('subscription_key', 'int_subscriptions__touched') }}

),

opportunities as (

    select * from {{ ref('int_opportunities__unioned') }}
    where {{ is_touched('opportunity_key', 'int_opportunities__touched') }}

),

payments as (

    select * from {{ ref('int_payments__unioned') }}
    where {{ is_touched('payment_key', 'int_payments__touched') }}

),

touches as (

    select * from {{ ref('int_campaign_touches__unioned') }}
    where {{ is_touched('touch_key', 'int_campaign_touches__touched') }}

),

unconverted as (

    {{ rows_without_rate(
        'order_items', 'order_items', 'line_key', 'document_key', keys, business_day('facts.ordered_at'),
        'facts.line_amount') }}

    union all

    {{ rows_without_rate(
        'orders', 'orders', 'order_key', 'document_key', keys, business_day('facts.ordered_at'), '0') }}

    union all

    {{ rows_without_rate(
        'returned', 'returns', 'return_key', 'document_key', keys, business_day('facts.returned_at'),
        '-facts.returned_amount') }}

    union all

    {{ rows_without_rate(
        'adjustments', 'adjustments', 'adjustment_key', 'document_key', keys, business_day('facts.adjusted_at'),
        'facts.adjusted_amount') }}

    union all

    {{ rows_without_rate(
        'subscriptions', 'subscriptions', 'subscription_key', 'subscription_key', keys,
        business_day('facts.started_at'), '0') }}

    union all

    {{ rows_without_rate(
        'opportunities', 'opportunities', 'opportunity_key', 'opportunity_key', keys,
        business_day('coalesce(facts.closed_at, facts.opened_at)'), '0') }}

    union all

    {{ rows_without_rate(
        'payments', 'payments', 'payment_key', 'payment_key', keys,
        business_day('coalesce(facts.due_at, facts.paid_at)'), '0') }}

    union all

    {{ rows_without_rate(
        'touches', 'campaign_touches', 'touch_key', 'touch_key', keys, business_day('facts.touched_at'), '0') }}

)

select
    source,
    entity,
    row_key,
    document_key,
    opportunity_key,
    payment_key,
    subscription_key,
    touch_key,
    happened_on,
    currency,
    own_amount
from unconverted
