"""What an analyst may rely on: the published file against its contract, and what it says of itself.

Not here: how the file comes to be there (test_publication.py), what the numbers mean (the unit
tests of the marts).
"""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from crm_pipeline.defs.publication.writing import ROW_GROUP_SIZE
from crm_pipeline.demo import read_truth
from crm_pipeline.settings import DEMO_COMPANY
from tests.pipeline.contract import CONTRACT, columns
from tests.pipeline.support import ABSTAINING, published


@pytest.fixture(scope="module")
def db(demo_home: Path):
    with published(demo_home) as connection:
        yield connection


def described(db: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str]]:
    """Table -> column -> type, as the file has them."""
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in db.execute(
        "select schema_name || '.' || table_name, column_name, data_type from duckdb_columns() "
        "where database_name = current_database() and not internal"
    ).fetchall():
        found.setdefault(table, {})[column] = kind
    return found


def test_it_holds_the_three_schemas_and_nothing_else(db):
    tables = described(db)
    assert {name.partition(".")[0] for name in tables} == {"marts", "scores", "meta"}
    assert set(tables) >= set(CONTRACT)
    views = "select count(*) from duckdb_views() where not internal"
    assert db.execute(views).fetchone() == (0,)


@pytest.mark.parametrize("table", sorted(CONTRACT))
def test_every_contracted_column_is_there_with_its_type_and_its_nulls(db, table):
    present = described(db)[table]
    for name, (types, is_optional) in columns(table).items():
        assert name in present, f"{table}.{name} is missing"
        assert present[name] in types, f"{table}.{name} is {present[name]}, not {types}"
        if not is_optional:
            nulls = f'select count(*) from {table} where "{name}" is null'
            assert db.execute(nulls).fetchone() == (0,), f"{table}.{name} has nulls"


def test_a_wrong_type_or_a_null_would_be_seen():
    """The test above, held against a table that breaks the contract."""
    with duckdb.connect() as db:
        db.execute("create schema meta")
        db.execute(
            "create table meta.freshness as select 'marts' as table_schema, null as table_name, "
            "1.5 as row_count, null::timestamp as latest_event_at"
        )
        with pytest.raises(AssertionError, match=r"table_name is INTEGER|table_name has nulls"):
            test_every_contracted_column_is_there_with_its_type_and_its_nulls(db, "meta.freshness")


def test_every_table_and_column_carries_its_comment(db):
    bare = db.execute(
        "select schema_name || '.' || table_name from duckdb_tables() "
        "where coalesce(trim(comment), '') = '' "
        "union all select schema_name || '.' || table_name || '.' || column_name "
        "from duckdb_columns() where not internal and database_name = current_database() "
        "and coalesce(trim(comment), '') = ''"
    ).fetchall()
    assert bare == []


def test_the_dictionary_names_every_column_once_with_the_files_own_types(db):
    listed = db.execute(
        "select table_schema || '.' || table_name, column_name, data_type from meta.dictionary"
    ).fetchall()
    held = [(t, c, kind) for t, names in described(db).items() for c, kind in names.items()]
    assert sorted(listed) == sorted(held)
    units = dict(
        db.execute(
            "select column_name, any_value(unit) from meta.dictionary "
            "where column_name in ('net_amount', 'recency_days', 'retention_rate') group by 1"
        ).fetchall()
    )
    assert units == {
        "net_amount": "reporting currency",
        "recency_days": "days",
        "retention_rate": "0 to 1",
    }


def test_every_mart_of_the_demo_company_has_rows(db):
    marts = [name for name in described(db) if name.startswith("marts.")]
    assert len(marts) > 60
    empty = {m for m in marts if db.execute(f"select count(*) from {m}").fetchone() == (0,)}
    # with 1,500 customers nobody is told apart by uplift, so there may be no offer to make
    assert empty <= {"marts.audience_next_offer_by_email", "marts.audience_next_offer_by_sms"}


def test_every_sample_query_answers(db):
    queries = db.execute("select title, sql from meta.sample_queries").fetchall()
    assert len(queries) >= 40
    assert [title for title, sql in queries if not db.execute(sql).fetchall()] == []


def test_metrics_are_told_with_the_columns_that_hold_them(db):
    rows = db.execute("select metric, description, published_in from meta.metrics").fetchall()
    figures = db.execute("select distinct metric from marts.metrics_monthly").fetchall()
    # the demo company weights no question
    assert {metric for (metric,) in figures} <= {metric for metric, *_ in rows}
    assert len(figures) > 140
    for _, description, places in rows:
        assert description
        for place in (places or "").split(", ") if places else []:
            table, _, column = place.rpartition(".")
            db.execute(f"select {column} from {table} limit 1")


def test_a_campaigns_effect_is_the_same_in_the_mart_and_in_scores(db):
    """SQL and ``ml`` have one formula: two proportions, the interval unpooled; means by Welch.

    SQL takes the normal distribution for means, ``ml`` Student's, whose interval is a bit wider.
    """
    rows = db.execute(
        """
        select s.method, greatest(abs(m.difference - s.effect),
                abs(m.treated_count - s.treated_count), abs(m.control_count - s.control_count)),
            greatest(abs(m.difference_low - s.effect_low), abs(m.difference_high - s.effect_high)),
            (s.effect_high - s.effect_low) / (m.difference_high - m.difference_low)
        from marts.campaign_effect as m join scores.experiment_results as s
            on m.campaign_key = s.campaign_key and m.experiment_arm = s.experiment_arm
            and m.metric = s.outcome and s.method in ('z', 'welch')
        """
    ).fetchall()
    assert len(rows) > 10
    assert {method for method, *_ in rows} == {"z", "welch"}
    # rounded before they are written
    assert max(estimate for _, estimate, *_ in rows) <= 1e-8
    assert max(ends for method, _, ends, _ in rows if method == "z") <= 1e-8
    assert all(1 <= wider < 1.1 for method, *_, wider in rows if method == "welch")


def test_landed_files_equal_the_generators_own_account(db, demo_home):
    truth = read_truth(demo_home / "demo_truth").files
    expected = sorted(
        (row.source, row.table_name, row.file_name, row.row_count, row.quarantined_count)
        for row in truth.itertuples()
    )
    landed = db.execute(
        "select source, table_name, file_name, rows_read, rows_quarantined from meta.landed_files"
    ).fetchall()
    assert sorted(landed) == expected
    off = "select count(*) from meta.landed_files where rows_read <> rows_accepted + {}"
    assert db.execute(off.format("rows_quarantined")).fetchone() == (0,)


def test_quarantine_counts_every_fault_by_file_and_reason_and_holds_no_value(db, demo_home):
    dirt = read_truth(demo_home / "demo_truth").dirt
    faults = dirt[dirt["is_quarantined"]].groupby(["source", "table_name", "file_name", "kind"])
    expected = {key: int(count) for key, count in faults["row_count"].sum().items()}
    held = db.execute(
        "select source, table_name, file_name, reason, row_count from meta.quarantine"
    ).fetchall()
    assert {tuple(key): n for *key, n in held} == expected
    by_file = (
        "select count(*) from meta.landed_files as l left join (select source, table_name, "
        "file_name, sum(row_count) as n from meta.quarantine group by all) as q "
        "using (source, table_name, file_name) where l.rows_quarantined <> coalesce(q.n, 0)"
    )
    assert db.execute(by_file).fetchone() == (0,)


def test_quality_holds_every_check_of_the_project(db, repository):
    keys = repository.asset_graph.asset_check_keys
    expected = {(key.name, ".".join(key.asset_key.path)) for key in keys}
    # a source that is not enabled has no history to be held against
    expected -= {
        (name, table)
        for name, table in expected
        if name == "resembles_its_history" and not table.startswith("raw.demo_")
    }
    rows = db.execute(
        "select check_name, table_name, severity, passed, observed from meta.quality"
    ).fetchall()
    assert len(rows) == len(expected)
    assert {(row[0], row[1]) for row in rows} == expected
    assert {row[2] for row in rows} <= {"error", "warn"}
    assert {row[1] for row in rows if not row[3]} == {
        f"models.{model}_champion" for model in ABSTAINING
    }
    observed = [json.loads(row[4]) for row in rows if row[4]]
    assert len(observed) > 40
    assert {type(value) for seen in observed for value in seen.values()} <= {int, float, bool}


def test_freshness_counts_every_published_table(db):
    listed = db.execute(
        "select table_schema || '.' || table_name, row_count, latest_event_at from meta.freshness"
    ).fetchall()
    assert {name for name, *_ in listed} == {n for n in described(db) if not n.startswith("meta.")}
    for name, rows, _ in listed:
        assert db.execute(f"select count(*) from {name}").fetchone() == (rows,), name
    latest = {name: at for name, _, at in listed}
    expected = db.execute("select max(ordered_at) from marts.fct_orders").fetchone()
    assert (latest["marts.fct_orders"],) == expected


def test_build_says_what_the_file_was_made_from(db, demo_home):
    as_of, version, sources, champions, digest = db.execute(
        "select as_of, code_version, sources, champions, input_digest from meta.build"
    ).fetchone()
    truth = read_truth(demo_home / "demo_truth")
    assert as_of == truth.company.end
    assert sources.replace(" ", "") == ",".join(DEMO_COMPANY)
    assert version.startswith("0.1.0+")
    assert len(digest) == 64
    evaluated = db.execute(
        "select distinct model, model_version from meta.model_evaluations "
        "where decision = 'promoted'"
    ).fetchall()
    assert json.loads(champions) == dict(evaluated)
    assert set(json.loads(champions)) >= {
        "segments", "session_segments", "clv", "churn", "forecast",
    }  # fmt: skip


def test_it_says_in_which_currency_amounts_are_though_no_setting_does(db):
    assert db.execute("select currency from meta.build").fetchone() == ("EUR",)


def test_scores_name_the_champion_that_gave_them(db):
    champions = json.loads(db.execute("select champions from meta.build").fetchone()[0])
    for model, table in (
        ("segments", "customer_segments"),
        ("clv", "customer_clv"),
        ("churn", "customer_churn"),
        ("next_category", "customer_next_category"),
    ):
        versions = db.execute(
            f"select status, model_version, count(*) > 0 from scores.{table} group by all"
        ).fetchall()
        assert ("scored", champions[model], True) in versions
        assert all(version is None for status, version, _ in versions if status != "scored")


def test_everybody_is_offered_ten_goods_that_they_have_not_bought(db):
    buyers = db.execute("select count(*) from scores.customer_clv").fetchone()
    offered = "select customer_key, count(*), max(recommendation_rank) from " \
              "scores.customer_recommendations group by 1"  # fmt: skip
    rows = db.execute(offered).fetchall()
    assert (len(rows),) == buyers
    assert {row[1:] for row in rows} == {(10, 10)}
    wrong = db.execute(
        "select count(*) from scores.customer_recommendations join marts.dim_products "
        "using (product_key) where not is_merchandise"
    ).fetchone()
    again = db.execute(
        "select count(*) from scores.customer_recommendations "
        "semi join marts.fct_order_items using (customer_key, product_key)"
    ).fetchone()
    assert (wrong, again) == ((0,), (0,))
    assert buyers == db.execute(
        "select count(*) from marts.customer_360 join scores.customer_recommendations as r "
        "using (customer_key) join marts.dim_products as p using (product_key) "
        "where r.recommendation_rank = 1 and next_offer = p.product_name"
    ).fetchone()  # fmt: skip
    assert db.execute("select count(*) > 0 from scores.product_rules").fetchone() == (True,)


def test_parquet_is_row_for_row_what_the_file_holds_in_key_order(db, demo_home):
    folder = demo_home / "published" / "parquet"
    tables = [name for name in described(db) if not name.startswith("meta.")]
    assert {p.relative_to(folder).with_suffix("").as_posix() for p in folder.rglob("*.parquet")} \
        == {name.replace(".", "/") for name in tables}  # fmt: skip
    for name in tables:
        file = folder / f"{name.replace('.', '/')}.parquet"
        one = db.execute(f"select * from {name}").fetchall()
        other = db.execute(f"select * from read_parquet('{file}')").fetchall()
        assert one == other, name
        groups = pq.ParquetFile(file).metadata
        assert all(
            groups.row_group(i).num_rows <= ROW_GROUP_SIZE for i in range(groups.num_row_groups)
        )


def test_the_file_is_read_only_for_everybody(demo_home):
    file = (demo_home / "published" / "crm.duckdb").resolve()
    assert file.stat().st_mode & 0o222 == 0
