"""MLflow: what a champion leaves as evidence, and what it takes to be trusted again."""

from __future__ import annotations

import getpass
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from crm_pipeline.errors import UserError
from crm_pipeline.resources.tracking import CHAMPION, EXPERIMENT, Tracking
from ml.evaluation.result import GateInputs, TrainingResult
from tests.pipeline.support import published
from tests.pipeline.test_bad_input import call

HORIZONS = {"segments": 0, "clv": 365, "churn": 90, "recommendation": 0, "next_category": 0}
PLOTS = {
    "segments": {"elbow", "silhouette", "scatter"},
    "clv": {"gain_curve", "holdout_by_decile"},
    "churn": {"calibration", "gain"},
    "recommendation": {"candidates", "comparison"},
    "next_category": {"comparison"},
}


@pytest.fixture(scope="module")
def store(demo_home: Path, tmp_path_factory) -> Path:
    """A copy of the demo company's MLflow, in another place."""
    folder = tmp_path_factory.mktemp("tracking") / "mlflow"
    shutil.copytree(demo_home / "mlflow", folder)
    return folder


@pytest.fixture
def own_store(demo_home: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    shutil.copytree(demo_home / "mlflow", tmp_path / "mlflow")
    return tmp_path / "mlflow"


def rows(folder: Path, sql: str) -> list[tuple]:
    with closing(sqlite3.connect(folder / "mlflow.db")) as db:
        return db.execute(sql).fetchall()


def test_a_moved_home_uses_its_own_models(store, demo_home):
    for model, horizon in HORIZONS.items():
        champion = Tracking(folder=str(store)).champion(model, horizon_days=horizon)
        assert champion is not None
    for table, column in (
        ("experiments", "artifact_location"),
        ("runs", "artifact_uri"),
        ("logged_models", "artifact_location"),
        ("model_versions", "storage_location"),
    ):
        places = {place for (place,) in rows(store, f"select {column} from {table}")}
        ours = {place for place in places if place.startswith(store.as_uri())}
        assert ours, f"{table}.{column}"
        left = [place for place in places if f"/{demo_home.name}/" in place]
        assert not left, f"{table}.{column}"


@pytest.mark.parametrize("model", sorted(HORIZONS))
def test_a_champion_has_its_evidence(store, demo_home, model):
    client = Tracking(folder=str(store))._client()
    registered = client.get_model_version_by_alias(model, CHAMPION)
    run = client.get_run(registered.run_id)
    with published(demo_home) as db:
        champions = json.loads(db.execute("select champions from meta.build").fetchone()[0])
    assert registered.tags["model_version"] == champions[model]
    assert len(registered.tags["sha256"]) == 64
    assert run.data.params
    assert run.data.metrics
    assert len(run.data.tags["input_digest"]) == 64
    assert run.data.tags["as_of"] == "2026-06-30"
    assert run.data.tags["decision"] == "promoted"
    assert run.data.tags["decision_reason"].startswith("promoted:")
    files = {f.path for f in client.list_artifacts(registered.run_id, "figures")}
    assert {Path(name).stem for name in files} >= PLOTS[model]
    info = client.get_logged_model(registered.source.removeprefix("models:/"))
    folder = Path(client.download_artifacts(registered.run_id, "gate"))
    assert {p.name for p in folder.iterdir()} == {"evidence.parquet", "summary.json"}
    import mlflow

    described = mlflow.models.get_model_info(f"models:/{info.model_id}")
    assert described.signature is not None
    assert "customer_key" not in described.signature.inputs.input_names()


def test_no_path_and_no_account_is_in_tags_or_parameters(store):
    texts = rows(store, "select value from tags union all select value from params")
    texts += rows(store, "select tag_value from logged_model_tags")
    texts += rows(store, "select value from model_version_tags")
    texts += rows(store, "select user_id from runs union all select source_name from runs")
    values = {str(value) for (value,) in texts}
    assert len(values) > 30
    home, account = str(Path.home()), getpass.getuser()
    assert not [value for value in values if home in value or "/work" in value or "/tmp" in value]
    assert account not in values
    for table in ("tags", "logged_model_tags"):
        column = "key" if table == "tags" else "tag_key"
        keys = {key for (key,) in rows(store, f"select {column} from {table}")}
        assert not keys & {"mlflow.user", "mlflow.source.name"}


def test_a_tampered_model_is_refused(own_store):
    [*files] = own_store.rglob("model.skops")
    assert len(files) >= 3
    for file in files:
        file.write_bytes(file.read_bytes()[:-1] + b"x")
    for model, horizon in HORIZONS.items():
        with pytest.raises(UserError, match=f"the stored {model} model .* backup"):
            Tracking(folder=str(own_store)).champion(model, horizon_days=horizon)


def test_a_model_that_is_gone_is_refused(own_store):
    for file in own_store.rglob("model.skops"):
        file.unlink()
    with pytest.raises(UserError, match="the stored churn model is gone"):
        Tracking(folder=str(own_store)).champion("churn", horizon_days=90)


def test_a_champion_for_another_horizon_does_not_score(store):
    assert Tracking(folder=str(store)).champion("churn", horizon_days=60) is None


def test_no_store_has_no_champion(tmp_path):
    assert Tracking(folder=str(tmp_path)).champion("churn", horizon_days=90) is None


CHALLENGER = "0123456789ab"


def challenge(tracking: Tracking, store: Path) -> str:
    """Record a version that is the churn champion under another name; return the champion's."""
    before = tracking.champion("churn", horizon_days=90)
    assert before is not None
    result = TrainingResult(
        status="trained",
        reason="a coin",
        estimator=before.estimator,
        parameters={"seed": 1},
        evaluation=pd.DataFrame(
            {
                "period": ["later"],
                "metric": ["log_loss"],
                "value": [0.69],
                "baseline_value": [0.5],
                "champion_value": [0.4],
            }
        ),
        figures={},
        tables={},
        gate=GateInputs(model="churn"),
    )
    types = json.loads(
        rows(store, "select value from model_version_tags where key = 'trusted_types' "
                        "and name = 'churn'")[0][0]
    )  # fmt: skip
    tracking.record(
        "churn",
        CHALLENGER,
        result,
        tags={"horizon_days": "90"},
        example=pd.DataFrame({"recency_days": [1.0]}),
        trusted_types=types,
    )
    return before.model_version


def test_a_refused_challenger_leaves_the_champion_in_place(own_store):
    tracking = Tracking(folder=str(own_store))
    before = challenge(tracking, own_store)
    tracking.decide("churn", CHALLENGER, promoted=False, reason="worse than the champion")
    kept = tracking.candidate("churn", CHALLENGER)
    assert kept is not None
    assert (kept.decision, kept.decision_reason) == ("refused", "worse than the champion")
    after = tracking.champion("churn", horizon_days=90)
    assert after is not None
    assert after.model_version == before
    tracking.decide("churn", CHALLENGER, promoted=True, reason="better after all")
    after = tracking.champion("churn", horizon_days=90)
    assert after is not None
    assert after.model_version == CHALLENGER


def test_one_command_goes_back_to_the_champion_before(own_store, monkeypatch, capsys):
    tracking = Tracking(folder=str(own_store))
    before = challenge(tracking, own_store)
    home = own_store.parent
    assert call(home, monkeypatch, "champion", "churn", "--back") == 2
    assert f"no version of churn ruled before {before}" in capsys.readouterr().err
    assert call(home, monkeypatch, "champion", "churn", "--to", CHALLENGER) == 2
    assert f"{CHALLENGER} never ruled" in capsys.readouterr().err
    tracking.decide("churn", CHALLENGER, promoted=True, reason="better")
    assert call(home, monkeypatch, "champion") == 0
    out = capsys.readouterr().out
    assert f"{CHALLENGER}  (ruled before: {before})" in out
    assert "segments" in out
    assert call(home, monkeypatch, "champion", "churn", "--back") == 0
    assert f"churn {before} rules again, instead of {CHALLENGER}" in capsys.readouterr().out
    assert tracking.ruling("churn") == before
    assert call(home, monkeypatch, "champion", "churn", "--to", CHALLENGER) == 0
    assert tracking.ruling("churn") == CHALLENGER


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("chrun",), "there is no model chrun; there are "),
        (("--back",), "say of which model"),
        (("churn", "--back", "--to", "x"), "either --back or --to"),
    ],
)
def test_a_wrong_question_about_champions_names_the_remedy(
    arguments, said, own_store, monkeypatch, capsys
):
    assert call(own_store.parent, monkeypatch, "champion", *arguments) == 2
    assert said in capsys.readouterr().err


def test_a_champion_has_its_card(store, demo_home):
    with published(demo_home) as db:
        cards = db.execute("select model, model_version, card from meta.model_cards").fetchall()
        champions = json.loads(db.execute("select champions from meta.build").fetchone()[0])
    assert {model: version for model, version, _ in cards} == champions
    client = Tracking(folder=str(store))._client()
    for model, version, card in cards:
        assert card.startswith(f"# {model} {version}\n")
        assert "## Limits\n\n- " in card
        registered = client.get_model_version_by_alias(model, CHAMPION)
        assert registered.description == card
        assert {f.path for f in client.list_artifacts(registered.run_id)} >= {"card.md"}


def test_deciding_on_what_was_never_trained_names_the_remedy(store):
    with pytest.raises(UserError, match="materialise its candidate"):
        Tracking(folder=str(store)).decide("churn", "ffffffffffff", promoted=True, reason="")


def test_the_experiment_is_one(store):
    assert rows(store, f"select count(*) from experiments where name = '{EXPERIMENT}'") == [(1,)]
