"""On thirty customers every model and analysis abstains, and says so: by its being registered."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from crm_pipeline.defs.modelling.registered import ANALYSES, MODELS
from tests.once import made_once, session_folder
from tests.pipeline.support import crm, succeeded

CUSTOMERS = 30
SAY = ("status", "verdict")
SAID_BY_NULL = {"customer_score_weights": "learned_weight"}
"""Of these a row is there in any case; what was not learned is null."""
ABSTAINED = {"too_little_data", "no_model_passed", "ended", "lapsed"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home after ``crm demo`` of thirty customers."""

    def make(home: Path) -> None:
        out = succeeded(crm(home, "demo", "--customers", str(CUSTOMERS)))
        assert "published" in out

    return made_once(session_folder(tmp_path_factory), f"of_{CUSTOMERS}", make)


@pytest.fixture(scope="module")
def db(home: Path):
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as db:
        yield db


def columns(db: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    return [row[0] for row in db.execute(f"describe scores.{table}").fetchall()]


@pytest.mark.slow
@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.name)
def test_a_model_abstains_and_says_why(db: duckdb.DuckDBPyConnection, spec):
    status, reason, decision = db.execute(
        "select status, decision_reason, decision from control.model_candidates where model = ?",
        [spec.name],
    ).fetchone()
    print(f"{spec.name}: {status}. {reason}")
    assert (status, decision) == ("too_little_data", "refused")
    assert len(reason.split()) >= 4
    if "status" in columns(db, spec.table):
        found = db.execute(f"select distinct status from scores.{spec.table}").fetchall()
        assert {row[0] for row in found} <= ABSTAINED
    else:
        assert db.execute(f"select count(*) from scores.{spec.table}").fetchone() == (0,)
    if spec.is_of_customers:
        # a row for everybody, whose status is the word for the reason above
        assert db.execute(
            f"select count(*), min(status), max(status) from scores.{spec.table}"
        ).fetchone() == (
            db.execute("select count(*) from marts.customer_rfm where as_of = "
                       "(select as_of from control.run_settings)").fetchone()[0],
            "too_little_data", "too_little_data",
        )  # fmt: skip
    for table in spec.further:
        assert db.execute(f"select count(*) from scores.{table}").fetchone() == (0,)


@pytest.mark.slow
@pytest.mark.parametrize("spec", ANALYSES, ids=lambda spec: spec.name)
def test_an_analysis_says_that_it_knows_too_little_or_nothing(db: duckdb.DuckDBPyConnection, spec):
    for table in spec.tables:
        known = columns(db, table)
        words = [column for column in (*SAY, SAID_BY_NULL.get(table, "")) if column in known]
        rows = db.execute(f"select {', '.join(words) or '1'} from scores.{table}").fetchall()
        print(f"{table}: {sorted(set(rows), key=str)}")
        assert words or not rows, f"{table} has rows, and no status that says what they are"
        if table in SAID_BY_NULL:
            assert {row[-1] for row in rows} <= {None}
