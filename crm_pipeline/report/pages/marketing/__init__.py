"""Marketing: what campaigns bring and cause, where customers come from, who may be addressed."""

from __future__ import annotations

from crm_pipeline.report.page import Page
from crm_pipeline.report.pages.marketing import campaigns, effects, reach

PAGE = Page(key="marketing", figures=campaigns.FIGURES + effects.FIGURES + reach.FIGURES)
