"""The published contract, written down a second time: tables, columns, types, what may be null.

"?" after a column: it may be null. A type in brackets where the column's name does not say it.
"""

from __future__ import annotations

import re

CONTRACT = {
    "marts.dim_customers": "customer_key, source, is_stub, first_seen_at?, first_order_on?, "
    "country?, region?, city?, acquisition_channel?, gender?, birth_year? [integer], "
    "income_amount?, education?, occupation?, is_marketing_allowed?",
    "marts.dim_products": "product_key, source, is_stub, product_name?, category?, subcategory?, "
    "is_merchandise",
    "marts.dim_customers_history": "customer_key, version_number [integer], source, is_stub, "
    "valid_from_at?, valid_to_at?, valid_from_on?, valid_to_on?, is_current, country?, region?, "
    "city?, acquisition_channel?, gender?, birth_year? [integer], income_amount?, education?, "
    "occupation?, is_marketing_allowed?",
    "marts.dim_products_history": "product_key, version_number [integer], source, is_stub, "
    "valid_from_at?, valid_to_at?, valid_from_on?, valid_to_on?, is_current, product_name?, "
    "category?, subcategory?, is_merchandise",
    "marts.dim_dates": "date_on, month [date], quarter [integer], year [integer], "
    "iso_week [integer], weekday [integer], is_weekend",
    "marts.fct_orders": "order_key, source, customer_key?, ordered_at, ordered_on, channel?, "
    "line_count, item_quantity, gross_amount, returned_amount, net_amount, cost_amount?, "
    "margin_amount?, order_number? [integer], days_since_previous_order? [integer]",
    "marts.fct_order_items": "order_key, line_number [integer], source, customer_key?, "
    "product_key, ordered_at, ordered_on, quantity, unit_price, unit_cost?, "
    "line_amount [decimal(18,4)]",
    "marts.fct_returns": "return_key, source, order_key?, customer_key?, product_key, "
    "returned_at, returned_on, quantity, returned_amount [decimal(18,4)]",
    "marts.fct_adjustments": "adjustment_key, source, adjusted_at, reason, quantity?, "
    "adjusted_amount [decimal(18,4)]",
    "marts.customer_rfm": "customer_key, as_of, recency_days, order_count, net_amount, "
    "recency_score, frequency_score, monetary_score, rfm_segment",
    "marts.customer_value": "customer_key, as_of, gross_amount, returned_amount, net_amount, "
    "margin_amount?, order_count, average_order_amount?, single_event_amount?, "
    "cumulative_amount, discounted_amount, first_order_on?, last_order_on?, contribution_share",
    "marts.customer_lifecycle": "customer_key, as_of, lifecycle_stage, previous_stage?, "
    "stage_since_on",
    "marts.cohort_retention": "cohort_month [date], month_number [integer], "
    "cohort_customers [integer], active_customers [integer], retention_rate, is_complete",
    "marts.kpi_monthly": "month [date], is_complete, order_count, active_customers [integer], "
    "new_customers [integer], returning_customers [integer], gross_amount, returned_amount, "
    "net_amount, average_order_amount?, repurchase_rate?, churn_rate?, retention_rate?",
    "marts.kpi_daily": "date_on, is_complete, order_count, active_customers [integer], "
    "new_customers [integer], returning_customers [integer], gross_amount, returned_amount, "
    "net_amount, average_order_amount?",
    "marts.customer_360": "customer_key, source, is_stub, first_seen_at?, first_order_on?, "
    "country?, region?, city?, acquisition_channel?, gender?, birth_year? [integer], "
    "income_amount?, education?, occupation?, is_marketing_allowed?, as_of, recency_days?, "
    "order_count?, net_amount?, recency_score?, frequency_score?, monetary_score?, rfm_segment?, "
    "gross_amount?, returned_amount?, margin_amount?, average_order_amount?, "
    "single_event_amount?, cumulative_amount?, discounted_amount?, last_order_on?, "
    "contribution_share?, lifecycle_stage?, previous_stage?, stage_since_on?, segment_name?, "
    "clv_amount?, churn_probability?, risk_band?, segment_status?, clv_status?, churn_status?, "
    "next_category?, next_offer?",
    "scores.customer_segments": "customer_key, as_of, status, segment_id? [integer], "
    "segment_name?, distance? [double], model_version?",
    "scores.customer_clv": "customer_key, as_of, status, horizon_days, alive_probability?, "
    "expected_orders? [double], expected_order_amount?, clv_amount?, clv_low_amount?, "
    "clv_high_amount?, model_version?",
    "scores.customer_clv_horizons": "customer_key, as_of, horizon_days, expected_orders [double], "
    "purchase_probability, clv_amount, clv_low_amount, clv_high_amount, model_version",
    "scores.customer_next_order": "customer_key, as_of, next_order_on?, next_order_low_on?, "
    "next_order_high_on?, model_version",
    "scores.customer_churn": "customer_key, as_of, status, horizon_days?, churn_probability?, "
    "risk_band?, reason_1?, reason_2?, reason_3?, model_version?",
    "scores.customer_reasons": "customer_key, as_of, model, feature, value [double], "
    "contribution [double]",
    "scores.customer_next_category": "customer_key, as_of, status, next_category?, "
    "next_category_probability?, second_category?, second_category_probability?, model_version?",
    "scores.customer_recommendations": "customer_key, as_of, recommendation_rank [integer], "
    "product_key, score [double], reason, reason_product_key?, model_version",
    "scores.product_rules": "item_level, antecedent_key, antecedent_2_key?, "
    "consequent_key, as_of, antecedent_name, consequent_name, order_count, "
    "antecedent_count, consequent_count, rule_count, support_rate, confidence_rate, lift [double], "
    "leverage [double], conviction? [double], p_value [double], adjusted_p_value [double], "
    "improvement [double]",
    "scores.sales_forecast": "as_of, measure, dimension, dimension_value, period_grain, "
    "period_start_on, horizon [integer], status, forecast? [double], low_80? [double], "
    "high_80? [double], low_95? [double], high_95? [double], method?, is_reconciled, "
    "model_version?",
    "scores.sales_forecast_accuracy": "measure, dimension, dimension_value, period_grain, as_of, "
    "method, forecast_count, mase [double], naive_mase [double], smape [double], "
    "naive_smape [double], coverage_80_rate, coverage_95_rate, model_version",
    "scores.opportunity_scores": "as_of, opportunity_key, status, win_probability?, "
    "base_win_rate, expected_close_on?, close_low_on?, close_high_on?, model_version?",
    "scores.lead_conversion": "as_of, lead_key, status, horizon_days [integer], "
    "conversion_probability?, base_conversion_rate?, expected_conversion_days? [integer], "
    "expected_conversion_on?, conversion_low_on?, conversion_high_on?, model_version?",
    "scores.product_reorder": "product_key, as_of, status, counted_on, on_hand_quantity?, "
    "on_order_quantity?, sold_since_count_quantity, available_quantity, lead_time_days, "
    "review_days, service_rate, daily_units? [double], lead_time_units? [double], "
    "safety_stock_quantity?, reorder_point_quantity?, cover_days? [double], is_reorder_due?, "
    "order_quantity?, method?",
    "scores.agents_needed": "channel, weekday [integer], hour_of_day [integer], as_of, status, "
    "week_count, contacts_per_hour? [double], busy_contacts_per_hour? [double], "
    "handling_seconds? [double], target_rate, target_seconds [double], load_erlangs? [double], "
    "agents_needed? [integer], busy_agents_needed? [integer], scheduled_agents? [integer], "
    "expected_service_rate?, mean_wait_seconds? [double], occupancy_rate?",
    "marts.fct_inventory": "inventory_key, source, product_key, counted_at, counted_on, "
    "on_hand_quantity?, on_order_quantity?, lead_time_days?",
    "marts.inventory_levels": "product_key, as_of, source, counted_on, age_days, "
    "on_hand_quantity?, on_order_quantity?, lead_time_days?",
    "meta.build": "as_of, built_at, horizon_days, code_version, sources, champions, input_digest, "
    "time_zone, currency?",
    "meta.dictionary": "table_schema, table_name, column_name, data_type, unit?, description",
    "meta.landed_files": "source, table_name, file_name, digest, rows_read [integer], "
    "rows_accepted [integer], rows_quarantined [integer], landed_at",
    "meta.quarantine": "source, table_name, file_name, reason, row_count",
    "meta.quarantine_lines": "source, table_name, file_name, line_number [bigint], column_name?, "
    "reason",
    "meta.quality": "check_name, table_name, severity, passed [boolean], observed?, checked_at, "
    "owner",
    "meta.check_bounds": "source, table_name, measure, column_name?, observed? [double], "
    "lower? [double], upper? [double], history [integer], needed [integer], is_judged, is_within",
    "meta.runs_since": "run_id, ended_at, job, outcome, reason",
    "meta.freshness": "table_schema, table_name, row_count, latest_event_at?",
    "meta.model_evaluations": "model, model_version, as_of, period, metric, value [double], "
    "baseline_value? [double], champion_value? [double], decision",
    "meta.model_cards": "model, model_version, card",
    "meta.model_drift": "model, model_version, compared_from [date], compared_to [date], "
    "population_stability_index [double], reading",
    "meta.model_scorecard": "model, model_version, as_of, horizon_days, metric, value? [double], "
    "baseline_value? [double]",
    "meta.score_history": "model, as_of, customer_key, model_version, horizon_days, score [double]",
    "meta.publications": "publication [integer], run_id, built_at, as_of, "
    "landing_number [integer], settings, champions, model_statuses, code_version, digests",
    "meta.restatements": "publication [integer], restated_at, run_id, metric, month [date], "
    "old_value? [double], new_value? [double], as_of_before [date], as_of_after [date], files, "
    "reason",
    "meta.fact_knowledge": "source, table_name, document_kind, document, happened_at?, known_at, "
    "last_changed_at, is_restated",
    "meta.sample_queries": "area, title, question, sql",
    "meta.metrics": "metric, label, area, unit, description, published_in?",
    "marts.metrics_monthly": "metric, month [date], is_complete, value [double]",
}

_BY_NAME = (
    (r"is_.*", "boolean"),
    (r".*_amount", "decimal(18,2)"),
    (r"unit_(price|cost)", "decimal(18,4)"),
    (r".*quantity", "decimal(18,3)"),
    (r".*_at", "timestamp"),
    (r".*_on|as_of", "date"),
    (r".*_(rate|share|probability)", "double"),
    (r".*_(days|count|score)", "integer"),
)
"""Units are part of a column's name (Names, in the design), and with them the type."""

INTEGERS = frozenset({"INTEGER", "BIGINT"})
"""The contract does not say how wide a whole number is."""


def columns(table: str) -> dict[str, tuple[set[str], bool]]:
    """Column -> (the types it may have, whether it may be null)."""
    found: dict[str, tuple[set[str], bool]] = {}
    for part in re.split(r",\s*(?![^\[]*\])", CONTRACT[table]):
        match = re.fullmatch(r"(\w+)(\??)(?: \[(.+)\])?", part)
        assert match, part
        name, optional, kind = match.groups()
        if kind is None:
            kind = next((t for p, t in _BY_NAME if re.fullmatch(p, name)), "varchar")
        types = set(INTEGERS) if kind == "integer" else {kind.upper()}
        found[name] = (types, bool(optional))
    return found
