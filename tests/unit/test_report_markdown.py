"""Markdown of model cards as HTML, and numbers put beside each other."""

from __future__ import annotations

import pandas as pd

from crm_pipeline.report.compared import melted
from crm_pipeline.report.markdown import to_html

CARD = """Probability of `no order`.

## Figures

| figure | this model | baseline |
|---|---:|---:|
| log_loss | 0.36 |  |

- a: 1
- b: <script>
"""


def test_headings_lists_tables_and_code():
    assert to_html(CARD) == (
        "<p>Probability of <code>no order</code>.</p>\n"
        "<h3>Figures</h3>\n"
        '<table><thead><tr><th scope="col">figure</th><th scope="col">this model</th>'
        '<th scope="col">baseline</th></tr></thead><tbody><tr><th scope="row">log_loss</th>'
        "<td>0.36</td><td></td></tr></tbody></table>\n"
        "<ul><li>a: 1</li><li>b: &lt;script&gt;</li></ul>"
    )


def test_nothing_becomes_markup_that_was_text():
    assert "<b>" not in to_html("# <b>x</b>\n\n`<b>`\n\n| <b> |\n")
    assert to_html("") == ""


def test_several_columns_become_one_row_each_and_unknown_ones_none():
    frame = pd.DataFrame({"stage": ["a", "b"], "one": [1, None], "two": [3, 4]}, dtype=object)
    assert melted(frame, ["stage"], ["one", "two"]).to_dict("records") == [
        {"stage": "a", "measure": "one", "value": 1},
        {"stage": "a", "measure": "two", "value": 3},
        {"stage": "b", "measure": "two", "value": 4},
    ]
