"""What an analyst starts from: metrics by name and sample queries, as tables and as a page of docs.

Belongs here: reading ``sample_queries.yml`` and the metrics of dbt's manifest, and the page made of
the queries. ``python -m crm_pipeline.defs.publication.questions`` writes ``docs/sample-queries.md``
anew; a test holds it against the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from crm_pipeline.defs.quality.metric_marts import columns_of
from crm_pipeline.settings import CHECKOUT

_QUERIES = Path(__file__).parent / "sample_queries.yml"
PAGE = CHECKOUT / "docs" / "sample-queries.md"
_AREA_FILE = re.compile(r".*/_(\w+?)__metrics\.yml")
_UNITS = (
    (r"_amount$", "amount"),
    (r"_(rate|share)$", "rate"),
    (r"_days$", "days"),
    (r"_hours$", "hours"),
    (r"^seconds_|_seconds$", "seconds"),
    (r"_count$|customers|_sessions$|^page_total$|^opportunities_", "count"),
)
"""What a metric's name says of its unit, as the names of columns do; a mean or ratio has none."""
_HEAD = """# Sample queries

Questions that the published file answers, by area: {count} queries. Each runs as it stands on
`published/crm.duckdb`, with the DuckDB command line, from Python or R ([how](analysts.md)), or with
`crm query`; the file holds them itself, in `meta.sample_queries`. The tests run every one.

This page is made from `crm_pipeline/defs/publication/sample_queries.yml` by `make docs`.
"""


@dataclass(frozen=True)
class SampleQuery:
    """A question, and the query that answers it on the published file.

    Attributes:
        area: What it is about.
        title: Short name.
        question: The question.
        sql: The query.
    """

    area: str
    title: str
    question: str
    sql: str


def sample_queries() -> list[SampleQuery]:
    """Return the sample queries."""
    listed: Sequence[Mapping[str, str]] = yaml.safe_load(_QUERIES.read_text(encoding="utf-8"))
    return [
        SampleQuery(one["area"], one["title"], one["question"], one["sql"].strip())
        for one in listed
    ]


def unit_of(metric: str) -> str:
    """Return a metric's unit, which its name tells: ``amount``, ``count``, ``rate`` and so on."""
    return next((unit for form, unit in _UNITS if re.search(form, metric)), "number")


def metric_definitions(manifest: Mapping[str, Any]) -> pd.DataFrame:
    """Return ``meta.metrics``: every metric with its definition and the columns that hold it."""
    rows = [
        {
            "metric": metric["name"],
            "label": metric["label"],
            "area": _AREA_FILE.sub(r"\1", metric["original_file_path"]),
            "unit": unit_of(metric["name"]),
            "description": " ".join(metric["description"].split()),
            "published_in": ", ".join(columns_of(metric["name"])) or None,
        }
        for metric in manifest["metrics"].values()
    ]
    return pd.DataFrame(rows).sort_values("metric", ignore_index=True)


def page(queries: Sequence[SampleQuery]) -> str:
    """Return the page of the sample queries, Markdown."""
    areas = list(dict.fromkeys(query.area for query in queries))
    lines = [_HEAD.format(count=len(queries))]
    lines += [f"* [{area}](#{_anchor(area)})" for area in areas]
    for area in areas:
        lines += ["", f"## {area}"]
        for query in (q for q in queries if q.area == area):
            lines += ["", f"### {query.title}", "", query.question, ""]
            lines += ["```sql", query.sql, "```"]
    return "\n".join(lines) + "\n"


def _anchor(heading: str) -> str:
    return "".join(c for c in heading.lower().replace(" ", "-") if c.isalnum() or c == "-")


if __name__ == "__main__":
    PAGE.write_text(page(sample_queries()), encoding="utf-8")
    print(f"{PAGE.relative_to(CHECKOUT)}: {len(sample_queries())} queries")
