"""The report's pages: each module here holds one ``PAGE``, shown in the order of ``ORDER``.

A page is SQL and drawing. To add one: a module here named as in ``ORDER``, and its words in
``texts/en/<page>.yml`` and ``texts/zh/<page>.yml`` (``title``, ``lead``, ``columns`` for every
column that a table or an axis shows, ``values.<column>.<name>`` for names to translate,
``figures.<key>``; what several pages say is in ``common.yml``). ``customers.py`` shows how. Rules:

* Read marts, scores and meta; compute nothing that a mart or a metric defines. Round nothing.
* Every query is ordered and names no person; nothing of this moment (``built_at``, ``run_id``).
* Leave out rows without a value (``where nps is not null``): an empty figure says what it needs.
* A height is a number (``charts.tall``), the width is the page's: no facets, no ``alt.Step``.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from crm_pipeline.report.page import Page

ORDER = (
    "overview",
    "customers",
    "value",
    "churn",
    "sales",
    "marketing",
    "service",
    "satisfaction",
    "products",
    "places",
    "data",
    "models",
    "metrics",
)
"""How the pages follow each other; one that is not named here is an error."""


def pages() -> list[Page]:
    """Return every page that is there, in its place."""
    names = {module.name for module in iter_modules(__path__)}
    unplaced = names - set(ORDER)
    if unplaced:
        raise AssertionError(f"pages without a place in ORDER: {', '.join(sorted(unplaced))}")
    return [import_module(f"{__name__}.{name}").PAGE for name in ORDER if name in names]
