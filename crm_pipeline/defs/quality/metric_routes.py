"""The second route to every metric: plain SQL over the facts, written without the metrics file.

Belongs here: what each metric is, said again. The check `kpis_equal_the_metrics` holds what is
published against it in every run, the tests hold MetricFlow against it by every dimension. A metric
without an entry fails ``test_metrics.py``, so does an entry without its metric.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Route:
    """A metric as an aggregate over one table's rows.

    Attributes:
        table: Where its facts are.
        on: The day (or month) that puts a row into a period.
        sql: The aggregate.
    """

    table: str
    on: str
    sql: str


@dataclass(frozen=True)
class Combined:
    """A metric made of others whose facts are in several tables."""

    sql: str
    of: tuple[str, ...]


def _routes(table: str, on: str, **sql: str) -> dict[str, Route]:
    return {name: Route(f"marts.{table}", on, text) for name, text in sql.items()}


# what can only be told of a month as a whole, because it asks who was a customer before it
_MONTH_STATES = """(
    with span as (select as_of, horizon_days from control.run_settings),
    months as (
        select month, least(last_day(month), as_of) as ended_on
        from marts.kpi_monthly cross join span),
    bought as (
        select customer_key, ordered_on, date_trunc('month', ordered_on)::date as month
        from marts.fct_orders where customer_key is not null),
    active as (select distinct customer_key, month from bought),
    kept as (
        select (before.month + interval 1 month)::date as month,
            count(*) as previous_active_customers, count(now.month) as retained_customers
        from active as before left join active as now
            on before.customer_key = now.customer_key
            and now.month = before.month + interval 1 month
        group by all),
    recent as (
        select month, count(*) as recent_customers,
            count(*) filter (order_count >= 2) as repeat_customers
        from (
            select months.month, customer_key, count(*) as order_count
            from months inner join bought
                on bought.ordered_on <= ended_on and bought.ordered_on > ended_on - 365
            group by all)
        group by all),
    alive as (
        select months.month, customer_key
        from months inner join bought on bought.ordered_on < months.month cross join span
        group by months.month, customer_key, horizon_days
        having months.month - 1 - max(ordered_on) < horizon_days),
    days as (
        select customer_key, ordered_on,
            lead(ordered_on) over (partition by customer_key order by ordered_on) as next_on
        from (select distinct customer_key, ordered_on from bought)),
    lost as (
        select distinct customer_key,
            date_trunc('month', ordered_on + horizon_days)::date as month
        from days cross join span
        where ordered_on + horizon_days <= as_of
            and coalesce(next_on - ordered_on > horizon_days, true)),
    churn as (
        select month, count(*) as customers_at_start,
            count(lost.customer_key) as churned_customers
        from alive left join lost using (month, customer_key) group by all),
    waiting as (
        select month, count(*) as opportunities_at_end,
            sum(opportunity_amount) as pipeline_at_end_amount
        from months cross join span inner join marts.sales_opportunities as deals
            on coalesce(opened_on, span.as_of) <= ended_on and (is_open or closed_on > ended_on)
        group by all)
    select month, columns(* exclude (month, ended_on))
    from months left join kept using (month) left join recent using (month)
        left join churn using (month) left join waiting using (month)
) as month_states"""
_PURCHASES: dict[str, Route | Combined] = {
    **_routes(
        "fct_orders", "ordered_on",
        order_count="count(*)",
        active_customers="count(distinct customer_key)",
        new_customers="count(distinct customer_key) filter (order_number = 1)",
        returning_customers="count(distinct customer_key) "
        "- count(distinct customer_key) filter (order_number = 1)",
    ),
    **_routes("fct_order_items", "ordered_on",
              gross_amount="sum(line_amount)", item_quantity="sum(quantity)"),
    **_routes("fct_returns", "returned_on", returned_amount="sum(returned_amount)"),
    "net_amount": Combined("coalesce(gross_amount, 0) - coalesce(returned_amount, 0)",
                           ("gross_amount", "returned_amount")),
    "average_order_amount": Combined("gross_amount / nullif(order_count, 0)",
                                     ("gross_amount", "order_count")),
    **{
        name: Route(_MONTH_STATES, "month", f"max_by({name}, month)")
        for name in ("retained_customers", "previous_active_customers", "repeat_customers",
                     "recent_customers", "churned_customers", "customers_at_start",
                     "opportunities_at_end", "pipeline_at_end_amount")
    },
    **{
        name: Route(_MONTH_STATES, "month", f"max_by({part} / nullif({whole}, 0), month)")
        for name, part, whole in (
            ("retention_rate", "retained_customers", "previous_active_customers"),
            ("repurchase_rate", "repeat_customers", "recent_customers"),
            ("churn_rate", "churned_customers", "customers_at_start"),
        )
    },
}  # fmt: skip
_HOURS = ("first_response_hours", "first_response_business_hours", "resolution_hours",
          "resolution_business_hours")  # fmt: skip
_RESOLVED = "filter (resolved_on is not null)"
_SERVICE = {
    **_routes(
        "fct_tickets", "opened_on",
        ticket_count="count(*)",
        complaint_count="sum(is_complaint::int)",
        complaint_known_count="sum((is_complaint is not null)::int)",
        complaint_rate="avg(is_complaint::int)",
        answered_ticket_count="sum((first_response_at is not null)::int)",
        resolved_ticket_count="sum((resolved_at is not null)::int)",
        reopened_ticket_count="sum((reopened_count >= 1)::int)",
        reopened_rate="avg((reopened_count >= 1)::int)",
        sla_judged_ticket_count="sum((is_sla_met is not null)::int)",
        sla_met_ticket_count="sum(is_sla_met::int)",
        sla_met_rate="avg(is_sla_met::int)",
        **{f"mean_{hours}": f"sum({hours}) / count({hours})" for hours in _HOURS},
        **{f"median_{hours}": f"quantile_cont({hours}, .5)" for hours in _HOURS},
        **{f"p90_{hours}": f"quantile_cont({hours}, .9)" for hours in _HOURS},
    ),
    **_routes(
        "fct_tickets", "first_response_on",
        first_response_count="sum((first_response_hours is not null)::int)",
        business_first_response_count="sum((first_response_business_hours is not null)::int)",
        total_first_response_hours="sum(first_response_hours)",
        total_first_response_business_hours="sum(first_response_business_hours)",
        average_first_response_hours="avg(first_response_hours)",
        average_first_response_business_hours="avg(first_response_business_hours)",
    ),
    **_routes(
        "fct_tickets", "resolved_on",
        resolution_count="sum((resolution_hours is not null)::int)",
        business_resolution_count="sum((resolution_business_hours is not null)::int)",
        total_resolution_hours="sum(resolution_hours)",
        total_resolution_business_hours="sum(resolution_business_hours)",
        average_resolution_hours="avg(resolution_hours)",
        average_resolution_business_hours="avg(resolution_business_hours)",
        judged_resolution_count=f"sum((is_sla_met is not null)::int) {_RESOLVED}",
        sla_met_resolution_count=f"sum(is_sla_met::int) {_RESOLVED}",
        resolution_sla_met_rate=f"avg(is_sla_met::int) {_RESOLVED}",
        reopened_resolution_count=f"sum((reopened_count >= 1)::int) {_RESOLVED}",
        resolution_reopened_rate=f"avg((reopened_count >= 1)::int) {_RESOLVED}",
    ),
    **_routes("service_contacts_monthly", "month", contact_count="sum(contact_count)"),
}  # fmt: skip
_NPS = "filter (lowest_score = 0 and highest_score = 10 and score is not null)"
_CSAT = ("filter (not (lowest_score = 0 and highest_score = 10) and score is not null "
         "and highest_score > lowest_score)")  # fmt: skip
_BROUGHT = "(4 * (score - lowest_score) / (highest_score - lowest_score) + 1)::decimal(18, 6)"
_TOP = "(score > highest_score - if(highest_score - lowest_score >= 3, 1.001, .001))::int"
_SATISFACTION = _routes(
    "fct_survey_responses", "responded_on",
    response_count="count(score)",
    score_total="sum(score)",
    score_mean="avg(score)",
    weighted_total="sum(if(question_weight is null, score, score * question_weight))",
    weight_total="sum(coalesce(question_weight, 1)) filter (score is not null)",
    weighted_score="sum(score * coalesce(question_weight, 1)) "
    "/ sum(coalesce(question_weight, 1)) filter (score is not null)",
    top_box_count=f"sum({_TOP})",
    top_box_rate=f"avg({_TOP})",
    nps_count=f"count(*) {_NPS}",
    promoter_count=f"sum((score >= 9)::int) {_NPS}",
    detractor_count=f"sum((score < 7)::int) {_NPS}",
    nps=f"avg(case when score >= 9 then 100 when score < 7 then -100 else 0 end) {_NPS}",
    csat_count=f"count(*) {_CSAT}",
    csat_total=f"sum({_BROUGHT}) {_CSAT}",
    csat_mean=f"avg({_BROUGHT}) {_CSAT}",
    csat_top_box_count=f"sum({_TOP}) {_CSAT}",
    csat_top_box_rate=f"avg({_TOP}) {_CSAT}",
    comment_count="count(*) filter (comment_length is not null)",
    sentiment_count="count(*) filter (comment_sentiment is not null)",
    sentiment_total="sum(comment_sentiment::decimal(18, 6))",
    sentiment_mean="avg(comment_sentiment)",
    positive_comment_count="count(*) filter (comment_sentiment > 0)",
    negative_comment_count="count(*) filter (comment_sentiment < 0)",
    positive_share="avg((comment_sentiment > 0)::int)",
    negative_share="avg((comment_sentiment < 0)::int)",
)  # fmt: skip


def _whole(flag: str) -> str:
    return f"if(bool_or({flag} is null), null, sum({flag}::int))"


_STEPS = {"product_view": "is_product_viewed", "cart": "is_cart_filled",
          "checkout": "is_checked_out", "order": "is_ordered"}  # fmt: skip
_WEB = _routes(
    "web_sessions", "started_on",
    session_count="count(*)",
    visiting_customers="count(distinct customer_key)",
    measured_session_count="count(*) filter (is_bounce is not null)",
    bounce_count="count(*) filter (is_bounce)",
    bounce_rate="avg(is_bounce::int)",
    page_total="sum(page_count)",
    paged_session_count="count(*) filter (page_count is not null)",
    pages_per_session="avg(page_count)",
    session_seconds="sum(duration_seconds)",
    timed_session_count="count(*) filter (duration_seconds is not null)",
    seconds_per_session="avg(duration_seconds)",
    **{f"{step}_known_sessions": f"count(*) filter ({flag} is not null)"
       for step, flag in _STEPS.items()},
    **{f"{step}_seen_sessions": f"count(*) filter ({flag})" for step, flag in _STEPS.items()},
    **{f"{step}_sessions": _whole(flag) for step, flag in _STEPS.items()},
    product_view_rate=f"{_whole('is_product_viewed')} / count(*)",
    cart_rate=f"{_whole('is_cart_filled')} / nullif({_whole('is_product_viewed')}, 0)",
    checkout_rate=f"{_whole('is_checked_out')} / nullif({_whole('is_cart_filled')}, 0)",
    completion_rate=f"{_whole('is_ordered')} / nullif({_whole('is_checked_out')}, 0)",
    session_conversion_rate=f"{_whole('is_ordered')} / count(*)",
)  # fmt: skip
_SALES = {
    **_routes("sales_opportunities", "opened_on", opened_opportunity_count="count(*)"),
    **_routes(
        "sales_opportunities", "closed_on",
        decided_opportunity_count="count(*) filter (not is_open)",
        won_opportunity_count="sum(is_won::int)",
        lost_opportunity_count="sum((not is_won)::int)",
        win_rate="avg(is_won::int)",
        won_amount="sum(opportunity_amount) filter (is_won)",
        average_deal_amount="avg(opportunity_amount) filter (is_won)",
        won_cycle_days="sum(cycle_days) filter (is_won)",
        won_cycle_count="count(cycle_days) filter (is_won)",
        mean_cycle_days="avg(cycle_days) filter (is_won)",
        median_cycle_days="quantile_cont(cycle_days, .5) filter (is_won)",
    ),
    **_routes(
        "sales_open_opportunities", "expected_close_on",
        open_opportunity_count="count(*)",
        pipeline_amount="sum(opportunity_amount)",
        weighted_pipeline_amount="sum(weighted_amount)",
    ),
    **_routes(
        "fct_leads", "created_on",
        lead_count="count(*)",
        converted_lead_count="sum(is_converted::int)",
        lead_conversion_rate="avg(is_converted::int)",
    ),
    **_routes("fct_leads", "converted_on", lead_conversion_count="count(converted_on)"),
}  # fmt: skip
_BOTH = "filter (revenue_amount is not null and cost_amount is not null)"
_MARKETING = {
    **_routes(
        "fct_campaign_touches", "touched_on",
        touch_count="count(*)",
        judged_touch_count="count(is_responded) filter (not is_control)",
        answered_touch_count="sum(is_responded::int) filter (not is_control)",
        touch_response_rate="avg(is_responded::int) filter (not is_control)",
    ),
    **_routes("fct_campaign_touches", "coalesce(responded_on, touched_on)",
              touch_response_count="sum(is_responded::int) filter (not is_control)"),
    **_routes(
        "campaign_performance", "started_on",
        campaign_reached_count="sum(reached_count)",
        campaign_response_count="sum(response_count)",
        campaign_response_base_count="sum(reached_count) filter (response_count is not null)",
        campaign_response_rate="sum(response_count) "
        "/ nullif(sum(reached_count) filter (response_count is not null), 0)",
        campaign_conversion_count="sum(conversion_count)",
        campaign_conversion_base_count="sum(reached_count) filter (conversion_count is not null)",
        campaign_conversion_rate="sum(conversion_count) "
        "/ nullif(sum(reached_count) filter (conversion_count is not null), 0)",
        campaign_revenue_amount="sum(revenue_amount)",
        campaign_cost_amount="sum(cost_amount)",
        campaign_returned_amount=f"sum(revenue_amount) {_BOTH}",
        campaign_spent_amount=f"sum(cost_amount) {_BOTH}",
        return_on_spend=f"sum(revenue_amount) {_BOTH} / sum(cost_amount) {_BOTH}",
    ),
    **_routes(
        "acquisition_cost", "month",
        acquisition_spend_amount="sum(cost_amount)",
        acquired_customers="sum(new_customers)",
        acquired_value_amount="sum(value_amount)",
        acquisition_cost_amount="sum(cost_amount) / nullif(sum(new_customers), 0)",
        value_over_cost="sum(value_amount) / sum(cost_amount)",
    ),
}  # fmt: skip

ROUTES: dict[str, Route | Combined] = {
    **_PURCHASES, **_SERVICE, **_SATISFACTION, **_WEB, **_SALES, **_MARKETING,
}  # fmt: skip
