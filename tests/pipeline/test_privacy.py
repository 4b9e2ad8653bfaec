"""Personal data stays behind: no name and no e-mail below ``$CRM_HOME`` but in the inbox."""

from __future__ import annotations

import gzip
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crm_pipeline.defs.landing.sources import sources_from_manifest
from crm_pipeline.resources.dbt import ensure_manifest
from tests.pipeline.identifiers import Identifiers
from tests.pipeline.landed import LandedWarehouse
from tests.pipeline.needles import Needles
from tests.pipeline.support import crm, published, refused, succeeded
from tests.pipeline.test_as_of import rest


@pytest.fixture(scope="module")
def people(demo_home: Path) -> Identifiers:
    return Identifiers(demo_home / "inbox" / "demo")


def test_nobody_is_named_below_the_home(demo_home, people):
    assert people.below(demo_home) == {}


def test_a_file_with_identifiers_is_archived_sealed(demo_home):
    endings = {
        table: {path.suffix for path in (demo_home / "archive" / "demo" / table).iterdir()}
        for table in ("orders", "customers")
    }
    assert endings == {"orders": {".gz"}, "customers": {".sealed"}}


def test_no_model_or_figure_in_mlflow_names_a_customer(demo_home):
    with published(demo_home) as db:
        keys = db.execute("select customer_key from marts.dim_customers").fetchall()
    needles = Needles([key.partition(":")[2] for (key,) in keys[::100]])
    assert needles.below(demo_home / "mlflow") == {}


@pytest.mark.slow
def test_who_was_forgotten_is_in_no_file_of_the_home(tiny_copy):
    """A whole run after `crm forget`; the inbox and the demo company's truth are the user's."""
    with published(tiny_copy) as db:
        [(key,)] = db.execute(
            "select customer_key from marts.fct_orders where customer_key is not null "
            "group by 1 order by count(*) desc, 1 limit 1"
        ).fetchall()
        orders = db.execute(
            "select order_key from marts.fct_orders where customer_key = ?", [key]
        ).fetchall()
    assert "no customer demo:nobody is known" in refused(
        crm(tiny_copy, "forget", "demo:nobody"), code=2
    )
    needles = Needles(name.partition(":")[2] for (name,) in [(key,), *orders])
    shutil.rmtree(tiny_copy / "demo_truth")
    assert {"warehouse.duckdb"} <= set(needles.below(tiny_copy))
    assert "is destroyed" in succeeded(crm(tiny_copy, "forget", key))
    assert "an erasure is not complete" in crm(tiny_copy, "doctor").stdout
    succeeded(crm(tiny_copy, "run", timeout=600))
    assert needles.below(tiny_copy) == {}
    succeeded(crm(tiny_copy, "doctor"))
    with published(tiny_copy) as db:
        reasons = db.execute(
            "select distinct reason from meta.quarantine where reason like 'erased%'"
        ).fetchall()
        assert reasons == [("erased_on_request",)]
        assert db.execute(
            "select count(*) from meta.restatements where reason not like '%erasure%'"
        ).fetchone() == (0,)
    succeeded(crm(tiny_copy, "backup", "--to", str(tiny_copy.parent / "backup")))
    held = {path.name for path in (tiny_copy.parent / "backup").iterdir()}
    assert "vault.duckdb" in held
    assert "master.key" not in held


def test_no_published_column_is_personal_by_its_name(demo_home):
    with published(demo_home) as db:
        names = db.execute(
            "select distinct column_name from duckdb_columns() where not internal "
            "and regexp_matches(column_name, '(?i)e_?mail|phone|full_name|first_name|last_name')"
        ).fetchall()
    assert names == []


@pytest.mark.parametrize(
    "kind", ["utf-8", "utf-16-le", "utf-16-be", "gzip", "zip", "parquet", "duckdb", "email"]
)
def test_the_search_finds_a_person_wherever_one_is_planted(people, tmp_path, kind):
    name = next(n for n in sorted(people.names) if ";" not in n)
    file = tmp_path / "logs" / "planted"
    file.parent.mkdir()
    text = f"before {name} after"
    if kind == "gzip":
        file.write_bytes(gzip.compress(text.encode()))
    elif kind == "zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as members:
            members.writestr("a.json", text)
    elif kind == "parquet":
        rows = pa.table({"note": [text] * 1000})
        pq.write_table(rows, file, compression="zstd")
    elif kind == "duckdb":
        with duckdb.connect(str(file)) as db:
            db.execute("create table t as select ? || i as note from range(5000) as r(i)", [text])
            db.execute("checkpoint")
    elif kind == "email":
        file.write_text(f"x{min(people.emails).upper()}x".replace("@EXAMPLE.COM", "@example.com"))
    else:
        file.write_bytes(b"\x00\x01" + text.encode(kind))
    assert list(people.below(tmp_path)) == ["logs/planted"]


def test_without_the_personal_mark_the_search_would_find_everybody(demo_home, people, tmp_path):
    """The search, on a company whose sources file forgot ``pii: direct``."""
    contracts = dict(sources_from_manifest(ensure_manifest()))
    demo = contracts["demo"]
    tables = tuple(
        replace(table, columns=tuple(replace(c, pii=None, token=None) for c in table.columns))
        for table in demo.tables
    )
    contracts["demo"] = replace(demo, tables=tables)
    warehouse = LandedWarehouse(tmp_path / "home")
    inbox = warehouse.folder / "inbox" / "demo"
    inbox.mkdir()
    for file in (demo_home / "inbox" / "demo").glob("customers_*.csv"):
        (inbox / file.name).write_bytes(file.read_bytes())
    rest(inbox)
    warehouse.land(contracts)
    found = people.below(warehouse.folder)
    assert "warehouse.duckdb" in found
    assert [name for name in found if name.startswith("archive/")]
