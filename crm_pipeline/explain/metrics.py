"""What each column of ``kpi_monthly`` is made of: facts, and the equation over their totals.

This states every definition a second time, over the published facts alone, on purpose: the two
statements are compared whenever somebody asks for an explanation, and by the tests for all months.
"""

from __future__ import annotations

from crm_pipeline.explain import areas, purchases

TERMS = {**purchases.TERMS, **areas.TERMS}
METRICS = {**purchases.METRICS, **areas.METRICS}
"""Every column of ``kpi_monthly`` that is a figure."""
