"""Where each metric is published: mart by mart, which column holds which.

Belongs here: names only. A metric that is in no wide mart is in ``marts.metrics_monthly``, which
holds all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from crm_pipeline.explain.metrics import METRICS

ALL_BY_MONTH = "marts.metrics_monthly"
"""The mart that holds every metric, one row a metric and month."""


@dataclass(frozen=True)
class MetricMart:
    """A mart whose columns are metrics.

    Attributes:
        table: ``schema.table``.
        columns: Column -> metric.
        time: The column of the day or month; empty where the mart is not by time.
        by: MetricFlow's name of a further dimension -> the mart's column.
        where: Rows that hold it.
    """

    table: str
    columns: Mapping[str, str]
    time: str = "month"
    by: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    where: str = "true"

    @property
    def grain(self) -> str:
        """``day`` or ``month``; empty where the mart is not by time."""
        return {"date_on": "day", "month": "month", "": ""}[self.time]


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


_HOURS = ("first_response_hours", "first_response_business_hours", "resolution_hours",
          "resolution_business_hours")  # fmt: skip
_STEPS = ("product_view", "cart", "checkout", "order")

METRIC_MARTS = (
    MetricMart("marts.kpi_monthly", _same(*METRICS)),
    MetricMart("marts.kpi_daily", _same(
        "order_count", "active_customers", "new_customers", "returning_customers", "gross_amount",
        "returned_amount", "net_amount", "average_order_amount", "ticket_count",
        "resolution_count", "csat_count", "session_count", "opened_opportunity_count",
        "won_opportunity_count", "won_amount", "lead_count", "touch_count",
    ), time="date_on"),
    MetricMart("marts.service_monthly", {
        **_same("ticket_count", "complaint_count", "complaint_rate", "contact_count",
                "sla_met_rate"),
        "answered_count": "answered_ticket_count",
        "resolved_count": "resolved_ticket_count", "reopened_count": "reopened_ticket_count",
        "sla_judged_count": "sla_judged_ticket_count",
        **_same(*(f"{kind}_{hours}" for kind in ("mean", "median", "p90") for hours in _HOURS)),
    }),
    MetricMart("marts.web_daily", {
        **_same("session_count", "bounce_rate", "order_sessions"),
        "known_customers": "visiting_customers", "mean_page_count": "pages_per_session",
        "mean_duration_seconds": "seconds_per_session",
        "conversion_rate": "session_conversion_rate",
    }, time="date_on"),
    MetricMart("marts.web_funnel", {
        **_same("session_count", *(f"{step}_sessions" for step in _STEPS), "product_view_rate",
                "cart_rate", "checkout_rate", "completion_rate"),
        "conversion_rate": "session_conversion_rate",
    }, by={"session__channel": "channel", "session__device": "device"}),
    MetricMart("marts.sales_monthly", {
        **_same("win_rate", "won_amount"),
        "opened_count": "opened_opportunity_count", "won_count": "won_opportunity_count",
        "lost_count": "lost_opportunity_count", "open_count": "opportunities_at_end",
        "open_pipeline_amount": "pipeline_at_end_amount",
    }),
    MetricMart("marts.sales_pipeline", {
        "opportunity_count": "open_opportunity_count", "open_amount": "pipeline_amount",
        "weighted_amount": "weighted_pipeline_amount",
    }, time="", by={"open_opportunity__source": "source", "open_opportunity__stage": "stage"}),
    MetricMart("marts.satisfaction_monthly", _same(
        "response_count", "score_mean", "top_box_rate", "weighted_total", "weighted_score",
        "nps_count", "nps", "comment_count", "sentiment_mean", "positive_share", "negative_share",
    ), by={"response__survey": "survey", "response__lowest_score": "lowest_score",
           "response__highest_score": "highest_score"}, where="dimension_kind = 'all'"),
    MetricMart("marts.campaign_performance", {
        "reached_count": "campaign_reached_count", "response_count": "campaign_response_count",
        "response_rate": "campaign_response_rate",
        "conversion_count": "campaign_conversion_count",
        "conversion_rate": "campaign_conversion_rate", "revenue_amount": "campaign_revenue_amount",
        "cost_amount": "campaign_cost_amount", "return_on_spend": "return_on_spend",
    }, time="", by={"campaign": "campaign_key"}),
    MetricMart("marts.acquisition_cost", {
        "cost_amount": "acquisition_spend_amount", "new_customers": "acquired_customers",
        "cost_per_customer_amount": "acquisition_cost_amount",
        "value_amount": "acquired_value_amount", "value_over_cost": "value_over_cost",
    }, by={"acquisition__acquisition_channel": "acquisition_channel"}),
)  # fmt: skip


def columns_of(metric: str) -> list[str]:
    """Return ``schema.table.column`` of every wide mart that publishes a metric."""
    return [
        f"{mart.table}.{column}"
        for mart in METRIC_MARTS
        for column, name in mart.columns.items()
        if name == metric
    ]
