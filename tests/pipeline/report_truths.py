"""What the report's tables must say, asked again of the published file in another way."""

from __future__ import annotations

TRUTHS = (
    # figure, column of its table, what is done with the column's numbers, the same from the marts
    ("overview-cards", "net_amount", "last",
     "select net_amount from marts.kpi_monthly where is_complete order by month desc limit 1"),
    ("overview-revenue", "order_count", "sum", "select count(*) from marts.fct_orders"),
    ("overview-revenue", "net_amount", "sum", "select sum(net_amount) from marts.kpi_daily"),
    ("overview-customers", "customers", "sum",
     "select sum(active_customers) from marts.kpi_monthly"),
    ("overview-changes", "kpi", "rows",
     "select count(*) from marts.kpi_comparison where before_mean > 0 and after_day_count > 1 "
     "and difference_low is not null and kpi <> 'touch_count'"),
    ("customers-rfm", "customers", "sum",
     "select count(*) from marts.customer_360 where rfm_segment is not null"),
    ("customers-rfm", "net_amount", "sum",
     "select sum(net_amount) from marts.customer_value where order_count > 0"),
    ("customers-segments", "customers", "sum",
     "select count(*) from scores.customer_segments where status = 'scored'"),
    ("customers-stages", "customers", "sum", "select count(*) from marts.customer_lifecycle"),
    ("customers-flows", "customers", "sum",
     "select sum(customers) from marts.lifecycle_transitions "
     "where as_of = (select as_of from meta.build)"),
    ("customers-cohorts", "active_customers", "sum",
     "select sum(active_customers) from marts.cohort_retention where is_complete"),
    ("value-distribution", "customers", "sum",
     "select count(*) from marts.customer_360 where clv_status = 'scored'"),
    ("value-distribution", "clv_amount", "sum", "select sum(clv_amount) from marts.customer_360"),
    ("value-holders", "clv_amount", "sum", "select sum(clv_amount) from scores.customer_clv"),
    ("value-horizons", "clv_amount", "sum",
     "select sum(clv_amount) from scores.customer_clv_horizons"),
    ("value-lorenz", "value_share", "last", "select 100"),
    ("value-predicted", "tenth", "rows", "select 10"),
    ("churn-rate", "churned_customers", "sum",
     "select sum(churned_customers) from marts.kpi_monthly where churn_rate is not null"),
    ("churn-bands", "customers", "sum",
     "select count(*) from marts.customer_360 where churn_status = 'scored'"),
    ("churn-calls", "contact_count", "sum",
     "select count(*) from scores.customer_churn where is_contact_worthwhile"),
    ("churn-calibration", "tenth", "rows", "select 10"),
    ("data-checks", "check_count", "sum", "select count(*) from meta.quality"),
    ("data-failed", "check_name", "rows", "select count(*) from meta.quality where not passed"),
    ("data-landed", "rows_read", "sum", "select sum(rows_read) from meta.landed_files"),
    ("data-reasons", "rows_quarantined", "sum",
     "select count(*) from meta.quarantine_lines"),
)  # fmt: skip
"""On the demo company; ``last`` is the column's last row, ``rows`` the number of rows."""
