"""Personal data stays behind: nobody is found below ``$CRM_HOME`` but in the inbox.

All four departments of the demo company write down names, addresses, numbers and what people said.
"""

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
from crm_pipeline.settings import DEMO_COMPANY
from tests.pipeline.identifiers import PERSONAL, Identifiers, rows_of
from tests.pipeline.landed import LandedWarehouse
from tests.pipeline.needles import Needles
from tests.pipeline.support import crm, published, refused, succeeded
from tests.pipeline.test_as_of import rest

COLUMNS = [
    (source, table, column)
    for source, tables in PERSONAL.items()
    for table, columns in tables.items()
    for column in columns
]
DAYS_OF_BIRTH = {("demo", "customers", "birth_date")}
"""Typed as days, not as text: looked for among the days of all tables."""
ONE_OF_EACH = {
    ("demo", "customers", "email"),
    ("demo_desk", "survey_responses", "comment"),
    ("demo_marketing", "consents", "phone"),
    ("demo_sales", "accounts", "street"),
}
"""Columns for which the split is switched off in the fast suite, too."""


@pytest.fixture(scope="module")
def people(tiny_home: Path) -> Identifiers:
    return Identifiers(tiny_home / "inbox")


def test_nobody_is_named_below_the_home(tiny_home, people):
    assert people.below(tiny_home) == {}


@pytest.mark.slow
def test_nobody_is_named_below_the_home_in_disguise(tiny_home, people):
    """One value of each column, also in hexadecimal, base64 and the like."""
    longest = {max(values, key=lambda v: (len(v), v)) for values in people.of_column.values()}
    assert Needles(longest).below(tiny_home) == {}


def test_every_column_that_names_people_is_looked_for(tiny_home, people):
    """What the sources files mark is what the search knows, and no other column names anybody."""
    contracts = sources_from_manifest(ensure_manifest())
    marked = {
        (source, table.name, column.name)
        for source in DEMO_COMPANY
        for table in contracts[source].tables
        for column in table.columns
        if column.pii == "direct"
    }
    assert marked == set(COLUMNS) | DAYS_OF_BIRTH
    for source in DEMO_COMPANY:
        for table in contracts[source].tables:
            others = [c.name for c in table.columns if (source, table.name, c.name) not in marked]
            rows = list(rows_of(tiny_home / "inbox" / source, table.name))
            assert rows, table.name
            for column in others:
                told = "\n".join({str(row[column]) for row in rows if row.get(column)})
                assert people.in_text(told) is None, (source, table.name, column)


def test_no_table_has_a_day_of_birth(tiny_home, tmp_path):
    """The company began in 2024, and nobody in it is born after 2008."""
    copies = [tmp_path / "warehouse.duckdb", tmp_path / "published.duckdb"]
    shutil.copy2(tiny_home / "warehouse.duckdb", copies[0])
    shutil.copy2(tiny_home / "published" / "crm.duckdb", copies[1])
    looked_at = 0
    for copy in copies:
        with duckdb.connect(str(copy)) as db:
            assert _oldest_days(db) == {}
            looked_at += len(_day_columns(db))
            db.execute("create table leak as select date '1980-05-01' as day")
            assert _oldest_days(db) == {"main.leak.day": "1980-05-01"}
    assert looked_at > 100


def _day_columns(db: duckdb.DuckDBPyConnection) -> list[tuple[str, str, str]]:
    return db.execute(
        "select schema_name, table_name, column_name from duckdb_columns() join duckdb_tables() "
        "using (schema_name, table_name) where schema_name <> 'seeds' "
        "and (data_type = 'DATE' or data_type like 'TIMESTAMP%')"
    ).fetchall()


def _oldest_days(db: duckdb.DuckDBPyConnection) -> dict[str, str]:
    found = {}
    for schema, table, column in _day_columns(db):
        row = db.execute(
            f'select min("{column}"::date)::varchar from "{schema}"."{table}" '
            f"where \"{column}\" < '2012-01-01'"
        ).fetchone()
        if row and row[0]:
            found[f"{schema}.{table}.{column}"] = row[0]
    return found


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
        # a firm that another firm's record names, by another number than the shop's
        [(parent,)] = db.execute(
            "select parent_customer_key from marts.dim_companies "
            "where parent_customer_key like 'demo:%' order by 1 limit 1"
        ).fetchall()
        orders = db.execute(
            "select order_key from marts.fct_orders where customer_key in (?, ?)", [key, parent]
        ).fetchall()
    with duckdb.connect(str(tiny_copy / "warehouse.duckdb"), read_only=True) as db:
        [(account,)] = db.execute(
            "select distinct 'demo_sales:' || links.account_no "
            "from raw.demo_sales__customer_links as links "
            "join raw.demo_sales__accounts as firms on parent_account_no = links.account_no "
            "where 'demo:' || customer_no = ?",
            [parent],
        ).fetchall()
    assert "no customer demo:nobody is known" in refused(
        crm(tiny_copy, "forget", "demo:nobody"), code=2
    )
    needles = Needles(
        name.partition(":")[2] for (name,) in [(key,), (parent,), (account,), *orders]
    )
    shutil.rmtree(tiny_copy / "demo_truth")
    assert {"warehouse.duckdb"} <= set(needles.below(tiny_copy))
    for who in {key, parent}:
        assert "is destroyed" in succeeded(crm(tiny_copy, "forget", who))
    assert "an erasure is not complete" in crm(tiny_copy, "doctor").stdout
    succeeded(crm(tiny_copy, "run"))
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
        file.write_text(f"x{min(people.emails).upper()}x")
    else:
        file.write_bytes(b"\x00\x01" + text.encode(kind))
    assert list(people.below(tmp_path)) == ["logs/planted"]


@pytest.mark.parametrize(
    ("source", "table_name", "column"),
    [
        pytest.param(*column, marks=() if column in ONE_OF_EACH else pytest.mark.slow)
        for column in COLUMNS
    ],
)
def test_with_the_split_switched_off_for_a_column_the_search_finds_it(
    tiny_home, people, tmp_path, source, table_name, column
):
    """The search, on a company whose sources file forgot ``pii: direct`` once."""
    contracts = dict(sources_from_manifest(ensure_manifest()))
    tables = tuple(
        replace(
            table,
            columns=tuple(
                replace(c, pii=None, token=None, text=None) if c.name == column else c
                for c in table.columns
            ),
        )
        for table in contracts[source].tables
        if table.name == table_name
    )
    contracts[source] = replace(contracts[source], tables=tables)
    warehouse = LandedWarehouse(tmp_path / "home", sources=(source,))
    inbox = warehouse.folder / "inbox" / source
    inbox.mkdir()
    for file in (tiny_home / "inbox" / source).glob(f"{table_name}*"):
        (inbox / file.name).write_bytes(file.read_bytes())
    rest(inbox)
    warehouse.land(contracts)
    found = people.below(warehouse.folder)
    # a file without any other column of the kind is archived as it is
    assert {name for name in found if not name.startswith("archive/")} == {"warehouse.duckdb"}
