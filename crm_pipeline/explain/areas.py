"""What the figures of service, satisfaction, visits, sales and campaigns are made of."""

from __future__ import annotations

from crm_pipeline.explain.terms import Metric, Term, mean, money, total

# What the terms read: $month is its first day.
_SPAN = "with span as (select as_of, least(last_day($month), as_of) as ended_on from meta.build)"
_IN_MONTH = "date_trunc('month', {}) = $month"


def _facts(kind: str, table: str, on: str, where: str = "true", amount: str = "1") -> str:
    """SQL for the facts of a table that happened in the month; ``kind``_key is their key."""
    return (
        f"select '{kind}' as kind, {kind}_key as fact_key, null as line_number, "
        f"null as product_key, 1 as ordinal, customer_key, {on} as happened_on, "
        f"{amount} as amount from {table} cross join span "
        f"where {_IN_MONTH.format(on)} and ({where})"
    )


def _term(
    text: str, kind: str, table: str, on: str, where: str = "true", amount: str = "1"
) -> Term:
    return Term(text, _facts(kind, table, on, where, amount), _SPAN)


def _tickets(text: str, on: str, where: str, amount: str = "1") -> Term:
    return _term(text, "ticket", "marts.fct_tickets", on, where, amount)


def _answers(text: str, where: str, amount: str = "1") -> Term:
    return _term(
        text, "response", "marts.fct_survey_responses", "responded_on",
        f"score is not null and {where}", amount,
    )  # fmt: skip


def _sessions(text: str, where: str = "true", amount: str = "1") -> Term:
    return _term(text, "session", "marts.fct_sessions", "started_on", where, amount)


def _deals(text: str, on: str, where: str, amount: str = "1") -> Term:
    return _term(
        text, "opportunity", "marts.fct_opportunities", on,
        f"coalesce(opened_on, as_of) <= as_of and {where}", amount,
    )  # fmt: skip


_SERVICE = {
    "tickets": _tickets("tickets opened in the month", "opened_on", "true"),
    "complaints": _tickets("complaints opened in the month", "opened_on", "is_complaint"),
    "told": _tickets(
        "tickets opened in the month that are known to be a complaint or not", "opened_on",
        "is_complaint is not null",
    ),
    **{
        name: _tickets(f"{text} of tickets {done} in the month", on, f"{hours} is not null", amount)
        for hours, on, done, names in (
            ("first_response_hours", "first_response_on", "first answered",
             ("response_hours", "responses")),
            ("first_response_business_hours", "first_response_on", "first answered",
             ("business_response_hours", "business_responses")),
            ("resolution_hours", "resolved_on", "resolved",
             ("hours_to_resolve", "resolutions")),
            ("resolution_business_hours", "resolved_on", "resolved",
             ("business_hours_to_resolve", "business_resolutions")),
        )
        for name, text, amount in zip(names, ("hours", "number"), (hours, "1"), strict=True)
    },
    "judged": _tickets("tickets resolved in the month that have targets", "resolved_on",
                       "is_sla_met is not null"),
    "kept": _tickets("of those, tickets within their targets", "resolved_on", "is_sla_met"),
    "came_back": _tickets("tickets resolved in the month that had come back before",
                          "resolved_on", "reopened_count > 0"),
    "contacts": Term(
        "contacts that customers began, tickets that no recorded contact opened among them",
        _facts("interaction", "marts.fct_interactions", "occurred_on",
               "coalesce(direction, 'inbound') = 'inbound'")
        + " union all "
        + _facts("ticket", "marts.fct_tickets", "opened_on",
                 "ticket_key not in (select ticket_key from marts.fct_interactions "
                 "where ticket_key is not null and coalesce(direction, 'inbound') = 'inbound')"),
        _SPAN,
    ),
}  # fmt: skip
_RECOMMENDING = "lowest_score = 0 and highest_score = 10"
_OTHER = f"highest_score > lowest_score and not ({_RECOMMENDING})"
_SATISFACTION = {
    "csat_answers": _answers("answers on any scale but that from 0 to 10", _OTHER),
    "csat_scores": _answers(
        "scores of these, brought to 1 to 5", _OTHER,
        "cast(1 + 4 * (score - lowest_score) / (highest_score - lowest_score) as decimal(18, 6))",
    ),
    "csat_top": _answers(
        "of these, answers at the top of their scale",
        f"{_OTHER} and score >= highest_score - (highest_score - lowest_score >= 3)::integer",
    ),
    "nps_answers": _answers("answers on the scale from 0 to 10", _RECOMMENDING),
    "promoters": _answers("answers of 9 and 10 on it", f"{_RECOMMENDING} and score >= 9"),
    "detractors": _answers("answers of 0 to 6 on it", f"{_RECOMMENDING} and score < 7"),
}  # fmt: skip
_JOINED = "session_key in (select session_key from marts.session_orders)"
_NAMING = "source in (select source from marts.fct_sessions where order_key is not null)"
_WEB = {
    "sessions": _sessions("visits begun in the month"),
    "measured": _sessions("of these, visits whose pages are counted", "is_bounce is not null"),
    "bounces": _sessions("of these, visits of one page or none", "is_bounce"),
    "paged": _sessions("visits that tell their pages", "page_count is not null"),
    "pages": _sessions("pages of these", "page_count is not null", "page_count"),
    "ordering": _sessions("visits that led to an order", f"has_order or {_JOINED}"),
    "telling": _sessions(
        "visits of which it is known whether they did",
        f"has_order is not null or customer_key is not null or {_JOINED} or {_NAMING}",
    ),
}  # fmt: skip
_OPEN_AT_END = (
    "select 'opportunity' as kind, opportunity_key as fact_key, null as line_number, "
    "null as product_key, 1 as ordinal, customer_key, coalesce(opened_on, ended_on) "
    "as happened_on, {} as amount from marts.fct_opportunities cross join span "
    "where coalesce(opened_on, as_of) <= ended_on and (is_won is null or closed_on > ended_on)"
)
_SALES = {
    "opened": _deals("opportunities opened in the month", "opened_on", "true"),
    "won": _deals("opportunities won in the month", "closed_on", "is_won and closed_on <= as_of"),
    "lost": _deals(
        "opportunities lost in the month", "closed_on", "not is_won and closed_on <= as_of"
    ),
    "won_value": _deals(
        "amounts of the opportunities won in the month", "closed_on",
        "is_won and closed_on <= as_of", "coalesce(opportunity_amount, 0)",
    ),
    "waiting": Term("opportunities open at the month's end", _OPEN_AT_END.format("1"), _SPAN),
    "waiting_value": Term(
        "amounts of the opportunities open at the month's end",
        _OPEN_AT_END.format("coalesce(opportunity_amount, 0)"), _SPAN,
    ),
    "leads": _term("leads created in the month", "lead", "marts.fct_leads", "created_on"),
    "conversions": _term("leads converted in the month", "lead", "marts.fct_leads",
                         "converted_on"),
}  # fmt: skip
_CAMPAIGNS = """(
    select campaign_key, null as customer_key, started_on, cast(coalesce(
        cost_amount,
        (select sum(cost_amount) from marts.fct_campaign_touches as touches
         where touches.campaign_key = campaigns.campaign_key)
    ) as decimal(18, 2)) as cost
    from marts.dim_campaigns as campaigns)"""
_MARKETING = {
    "touches": _term("messages sent or held back in the month", "touch",
                     "marts.fct_campaign_touches", "touched_on"),
    "touches_answered": _term(
        "responses to messages that were not held back", "touch", "marts.fct_campaign_touches",
        "coalesce(responded_on, touched_on)", "is_responded and not is_control",
    ),
    "campaigns": _term("campaigns begun in the month whose cost is known", "campaign", _CAMPAIGNS,
                       "started_on", "cost is not null"),
    "campaign_costs": _term("costs of these", "campaign", _CAMPAIGNS, "started_on",
                            "cost is not null", "cost"),
}  # fmt: skip

TERMS = {**_SERVICE, **_SATISFACTION, **_WEB, **_SALES, **_MARKETING}


def _hours(hours: str, count: str) -> Metric:
    return Metric(
        (hours, count), f"{hours} / {count}",
        f"cast(cast({hours} as double) / nullif({count}, 0) as decimal(18, 4))",
    )  # fmt: skip


METRICS = {
    "ticket_count": total("tickets"),
    "complaint_rate": mean("complaints", "told"),
    "average_first_response_hours": _hours("response_hours", "responses"),
    "average_first_response_business_hours": _hours(
        "business_response_hours", "business_responses"
    ),
    "resolution_count": total("resolutions"),
    "average_resolution_hours": _hours("hours_to_resolve", "resolutions"),
    "average_resolution_business_hours": _hours(
        "business_hours_to_resolve", "business_resolutions"
    ),
    "resolution_sla_met_rate": mean("kept", "judged"),
    "resolution_reopened_rate": mean("came_back", "resolutions"),
    "contact_count": total("contacts"),
    "csat_count": total("csat_answers"),
    "csat_mean": mean("csat_scores", "csat_answers"),
    "csat_top_box_rate": mean("csat_top", "csat_answers"),
    "nps_count": total("nps_answers"),
    "nps": Metric(
        ("promoters", "detractors", "nps_answers"),
        "100 x (promoters - detractors) / nps_answers",
        "100.0 * (promoters - detractors) / nullif(nps_answers, 0)",
    ),
    "session_count": total("sessions"),
    "bounce_rate": mean("bounces", "measured"),
    "pages_per_session": mean("pages", "paged"),
    "session_conversion_rate": Metric(
        ("ordering", "telling", "sessions"),
        "ordering / sessions, where all are telling",
        "case when telling = sessions then cast(ordering as double) / nullif(sessions, 0) end",
    ),
    "opened_opportunity_count": total("opened"),
    "won_opportunity_count": total("won"),
    "lost_opportunity_count": total("lost"),
    "win_rate": Metric(
        ("won", "lost"), "won / (won + lost)", "cast(won as double) / nullif(won + lost, 0)"
    ),
    "won_amount": money("won_value"),
    "opportunities_at_end": total("waiting"),
    "pipeline_at_end_amount": money("waiting_value"),
    "lead_count": total("leads"),
    "lead_conversion_count": total("conversions"),
    "touch_count": total("touches"),
    "touch_response_count": total("touches_answered"),
    "campaign_cost_amount": Metric(
        ("campaign_costs", "campaigns"),
        "campaign_costs, where there are campaigns",
        "case when campaigns > 0 then cast(campaign_costs as decimal(18, 2)) end",
    ),
}
"""The figures of ``kpi_monthly`` that tell of the other areas."""
