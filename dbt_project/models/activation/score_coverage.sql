{#- Tables made of other scores are left out: they are written after the tests on those. -#}
{%- set with_status = [
    'agents_needed', 'customer_churn', 'customer_clv', 'customer_next_category', 'customer_segments',
    'customer_uplift', 'lead_conversion', 'opportunity_scores', 'product_reorder', 'sales_forecast',
    'subscription_churn'
] -%}
{%- set without_status = [
    'audience_results', 'comment_sentiment', 'customer_clv_horizons', 'customer_learned_score', 'customer_next_order',
    'customer_reasons', 'customer_recommendations', 'customer_score_weights', 'experiment_results',
    'product_rules', 'sales_forecast_accuracy', 'satisfaction_drivers', 'segment_comparison',
    'segment_drift', 'segment_profiles', 'segment_rules', 'segment_transitions',
    'session_segment_comparison', 'session_segments', 'subscription_reasons'
] -%}

with settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

counted as (

    {% for table in with_status %}
    select
        '{{ table }}' as score_table,
        status,
        count(*) as row_count
    from {{ source('scores', table) }}
    group by status

    union all

    {% endfor %}
    {% for table in without_status %}
    select
        '{{ table }}' as score_table,
        'scored' as status,
        count(*) as row_count
    from {{ source('scores', table) }}
    {{ 'union all' if not loop.last }}

    {% endfor %}
)

select
    counted.score_table,
    settings.as_of,
    counted.status,
    counted.row_count
from counted
cross join settings
