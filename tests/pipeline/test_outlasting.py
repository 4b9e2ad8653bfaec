"""What lasts longer than a run: a reader's open file, and a warehouse that older code wrote."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.pipeline.support import crm, different, publication, published, succeeded
from tests.pipeline.test_doctor import said, write

ANALYST = """
import sys
import duckdb
with duckdb.connect(sys.argv[1], read_only=True) as db:
    db.execute("begin")
    ask = "select sum(gross_amount), any_value(built_at) from marts.kpi_monthly, meta.build"
    before = db.execute(ask).fetchone()
    print("open", flush=True)
    sys.stdin.readline()
    assert db.execute(ask).fetchone() == before, "the open file changed"
    again = db.execute("select count(*), sum(hash(t)::hugeint) from marts.fct_order_items as t")
    print(again.fetchone()[0], flush=True)
"""

SINCE = ("builds", "touched", "touched_values", "drift", "contract_versions", "schema_version")
"""Tables of ``control`` that the first release did not have and that later code makes."""


@pytest.mark.slow
def test_an_analyst_who_holds_the_file_for_hours_blocks_nobody_and_keeps_what_he_sees(tiny_copy):
    """Four runs publish meanwhile: his version is no longer among the three that are kept."""
    with published(tiny_copy) as db:
        [before] = db.execute("select built_at from meta.build").fetchall()
    analyst = subprocess.Popen(
        [sys.executable, "-c", ANALYST, str(tiny_copy / "published" / "crm.duckdb")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert analyst.stdout is not None
    assert analyst.stdout.readline() == "open\n"
    held = (tiny_copy / "published" / "crm.duckdb").resolve().parent
    for _ in range(4):
        succeeded(crm(tiny_copy, "run"))
    assert not held.exists()
    with published(tiny_copy) as db:
        [after] = db.execute("select built_at from meta.build").fetchall()
        [(lines,)] = db.execute("select count(*) from marts.fct_order_items").fetchall()
    assert after > before
    out, _ = analyst.communicate("go on\n")
    assert analyst.returncode == 0
    assert int(out) == lines


@pytest.mark.slow
def test_a_warehouse_of_older_code_is_upgraded_by_the_next_run(tiny_copy, tiny_home):
    views = [
        f"drop view if exists control.{name} cascade" for name in ("drift_states", "drift_known")
    ]
    write(
        tiny_copy,
        *views,
        *(f"drop table control.{name}" for name in SINCE),
        "drop schema history cascade",
        "drop schema touched cascade",
    )
    assert any("schema version 0" in line for line in said(tiny_copy))
    succeeded(crm(tiny_copy, "run"))
    assert said(tiny_copy) == []
    assert different(publication(tiny_home), publication(tiny_copy)) == []
