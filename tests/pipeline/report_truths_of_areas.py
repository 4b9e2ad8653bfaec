"""What the tables of sales to models must say, asked again of facts and scores in another way.

Read like ``report_truths.py``; apart from it because one file of both would be too long.
"""

from __future__ import annotations

TRUTHS = (
    ("sales-pipeline", "opportunity_count", "sum",
     "select count(*) from marts.fct_opportunities where is_open"),
    ("sales-pipeline", "weighted_amount", "sum",
     "select sum(weighted_amount) from marts.sales_open_opportunities"),
    ("sales-funnel", "entered_count", "sum",
     "select sum(entered_count) from marts.sales_stage_conversion"),
    ("sales-win-rate", "won_count", "sum",
     "select count(*) from marts.fct_opportunities where is_won"),
    ("sales-win-rate", "won_amount", "sum", "select sum(won_amount) from marts.fct_opportunities"),
    ("sales-where-won", "won_count", "sum",
     "select 3 * count(*) from marts.fct_opportunities where is_won"),
    ("sales-kinds", "gross_amount", "sum",
     "select sum(line_amount) from marts.fct_order_items"),
    ("sales-kinds", "order_count", "sum", "select count(*) from marts.fct_orders"),
    ("sales-forecast", "gross_amount", "sum",
     "select sum(line_amount) from marts.fct_order_items"),
    ("sales-forecast", "forecast", "rows",
     "select (select count(*) from marts.kpi_monthly where is_complete) + count(*) "
     "from scores.sales_forecast where measure = 'gross_amount' and dimension = 'total' "
     "and period_grain = 'month'"),
    ("sales-backtest", "mase", "rows",
     "select count(*) from scores.sales_forecast_accuracy where dimension_value = 'total'"),
    ("marketing-rates", "people_count", "sum",
     "select sum(round(treated_count * treated_mean)) from marts.campaign_effect "
     "where metric <> 'amount'"),
    ("marketing-return", "cost_amount", "sum",
     "select sum(cost_amount) from marts.dim_campaigns where purpose <> 'acquisition'"),
    ("marketing-return", "attributed_amount", "sum",
     "select sum(attributed_amount) from marts.attribution where attribution_model = 'last'"),
    ("marketing-attribution", "attributed_amount", "sum",
     "select sum(attributed_amount) from marts.attribution"),
    ("marketing-experiments", "treated_count", "sum",
     "select sum(treated_count) from marts.campaign_effect where metric <> 'amount'"),
    ("marketing-experiment-amounts", "treated_count", "sum",
     "select sum(treated_count) from marts.campaign_effect where metric = 'amount'"),
    ("marketing-offers", "customers", "sum", "select count(*) from scores.offer_allocation"),
    ("marketing-offers", "cost_amount", "sum",
     "select max(cost_amount) from scores.offer_allocation_summary"),
    ("marketing-acquisition", "new_customers", "sum",
     "select count(*) from marts.dim_customers where first_order_on is not null"),
    ("marketing-consents", "customers", "sum", "select count(*) from marts.customer_consents"),
    ("marketing-funnel", "session_count", "last",
     "select count(*) from marts.fct_sessions where has_order and started_on >= "
     "(select date_trunc('month', as_of) - interval 11 month from meta.build)"),
    ("service-backlog", "backlog_count", "last",
     "select count(*) from marts.fct_tickets where is_open"),
    ("service-backlog", "opened_count", "sum",
     "select sum(opened_count) from marts.service_daily where date_on > "
     "(select as_of - interval 2 year from meta.build)"),
    ("service-flow", "ticket_count", "sum", "select count(*) from marts.fct_tickets"),
    ("service-first-response", "ticket_count", "sum", "select count(*) from marts.fct_tickets"),
    ("service-resolution", "resolved_count", "sum",
     "select count(*) from marts.fct_tickets where resolved_at is not null"),
    ("service-sla", "sla_judged_count", "sum",
     "select count(*) from marts.fct_tickets where is_sla_met is not null"),
    ("service-topics", "ticket_count", "sum",
     "select count(*) from marts.fct_tickets join meta.build on opened_on > as_of - 365"),
    ("service-staffing", "scheduled_agents", "sum",
     "select sum(scheduled_agents) from scores.agents_needed where contacts_per_hour > 0 "
     "or scheduled_agents > 0"),
    ("satisfaction-nps", "nps_count", "sum",
     "select count(*) from marts.fct_survey_responses where nps_class is not null"),
    ("satisfaction-csat", "response_count", "sum",
     "select count(score) from marts.fct_survey_responses where nps_class is null"),
    ("satisfaction-drivers", "driver_count", "sum",
     "select sum(driver_count) from scores.satisfaction_drivers"),
    ("satisfaction-topics", "comment_count", "sum",
     "select sum(len(string_split(comment_topics, ','))) from marts.fct_survey_responses "
     "where comment_topics <> ''"),
    ("satisfaction-writers", "comment_count", "sum",
     "select count(content_probability) from scores.comment_sentiment"),
    ("products-best", "net_amount", "sum",
     "select sum(amount) from (select product_key, sum(amount) as amount from ("
     "select product_key, line_amount as amount, ordered_on as day from marts.fct_order_items "
     "union all select product_key, -returned_amount, returned_on from marts.fct_returns) "
     "join marts.dim_products using (product_key) join meta.build on day > as_of - 365 "
     "where is_merchandise group by product_key order by amount desc limit 15)"),
    ("products-categories", "gross_amount", "sum",
     "select sum(line_amount) from marts.fct_order_items join marts.dim_products "
     "using (product_key) join meta.build on ordered_on > as_of - 730 where is_merchandise"),
    ("products-rules", "lift", "rows",
     "select least(15, count(distinct list_sort([item_level, antecedent_key, consequent_key]))) "
     "from scores.product_rules where antecedent_2_key is null"),
    ("products-coverage", "recommended_count", "sum",
     "select count(distinct product_key) from scores.customer_recommendations"),
    ("products-coverage", "product_count", "sum",
     "select count(*) from marts.dim_products where is_merchandise"),
    ("products-next", "customers", "sum",
     "select count(next_category) from scores.customer_next_category"),
    ("products-stock", "product_count", "sum", "select count(*) from scores.product_reorder"),
    ("products-stock", "order_quantity", "sum",
     "select sum(order_quantity) from scores.product_reorder"),
    ("products-urgent", "order_quantity", "rows",
     "select least(15, count(*)) from scores.product_reorder where is_reorder_due"),
    ("places-map", "customers", "sum", "select count(*) from marts.customer_360"),
    ("places-revenue", "net_amount", "sum",
     "select sum(net_amount) from marts.customer_value join marts.dim_customers "
     "using (customer_key) where country is not null and order_count > 0"),
    ("places-worth", "customers", "sum",
     "select count(*) from marts.customer_rfm join marts.dim_customers using (customer_key) "
     "where country is not null and as_of = (select as_of from meta.build)"),
    ("places-new", "new_customers", "sum",
     "select count(first_order_on) from marts.dim_customers where country is not null"),
    ("places-regions", "customers", "rows",
     "select least(20, count(*)) from (select region from marts.dim_customers "
     "where region is not null group by country, region having count(*) > 4)"),
    ("places-leaving", "high_risk_customers", "sum",
     "select count(*) from scores.customer_churn join marts.dim_customers using (customer_key) "
     "where country is not null and risk_band = 'high'"),
    ("models-gate", "model", "rows",
     "select count(distinct model) from meta.model_evaluations where period <> 'parameters'"),
    ("models-coverage", "row_count", "sum",
     "select sum(row_count) from marts.score_coverage where score_table in ('agents_needed', "
     "'comment_sentiment', 'customer_churn', 'customer_clv', 'customer_next_category', "
     "'customer_next_order', 'customer_recommendations', 'customer_segments', "
     "'customer_uplift', 'lead_conversion', 'opportunity_scores', 'product_reorder', "
     "'sales_forecast', 'subscription_churn')"),
    ("models-cards", "model", "rows", "select count(*) from meta.model_cards"),
)  # fmt: skip
"""On the demo company: figure, column, what is done with the column, the same from elsewhere."""
