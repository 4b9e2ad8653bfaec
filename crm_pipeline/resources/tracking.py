"""The door to MLflow: candidates, champions, and the evidence that a gate decides on.

Models are stored in skops' format (loading runs no code) and loaded only if the file still has
the digest that was recorded when we wrote it.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from crm_pipeline.errors import UserError
from crm_pipeline.resources.tracking_store import DATABASE, artifact_location, follow_home

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from sklearn.base import BaseEstimator

    from ml.evaluation.result import TrainingResult

EXPERIMENT = "crm"
CHAMPION = "champion"
_MODEL_FILE = "model.skops"
_VALUES = ("candidate", "champion", "actual", "treated", "weight")
_WHO_AND_WHERE = ("mlflow.user", "mlflow.source.name", "mlflow.source.type")
"""Tags that MLflow adds by itself: the account and the path of whoever trained."""


@dataclass(frozen=True)
class Champion:
    """The model that scores: its version (derived from content), estimator and parameters."""

    model_version: str
    estimator: BaseEstimator
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Candidate:
    """One evaluated training as MLflow keeps it, and what the gate decided so far."""

    model_version: str
    result: TrainingResult
    decision: str | None
    decision_reason: str
    tags: Mapping[str, str]


class Tracking(dg.ConfigurableResource):
    """MLflow on SQLite below ``$CRM_HOME/mlflow``; imported only when a method is called."""

    folder: str

    def _client(self) -> MlflowClient:
        import mlflow

        follow_home(Path(self.folder), EXPERIMENT)
        uri = f"sqlite:///{Path(self.folder) / DATABASE}"
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        return mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)

    def _experiment(self, client: MlflowClient) -> str:
        found = client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        location = artifact_location(Path(self.folder))
        return str(client.create_experiment(EXPERIMENT, artifact_location=location))

    def _run(self, client: MlflowClient, model: str, model_version: str) -> Any | None:
        runs = client.search_runs(
            [self._experiment(client)],
            filter_string=(
                f"tags.model = '{model}' and tags.model_version = '{model_version}' "
                "and attributes.status = 'FINISHED'"
            ),
            max_results=1,
        )
        return runs[0] if runs else None

    def _artifact(self, client: MlflowClient, run_id: str, name: str) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            return Path(client.download_artifacts(run_id, name, folder)).read_bytes()

    def candidate(self, model: str, model_version: str) -> Candidate | None:
        """Return what is known of this version, or ``None`` if it was never trained."""
        import pandas as pd

        from ml.evaluation.result import GateInputs, TrainingResult

        client = self._client()
        run = self._run(client, model, model_version)
        if run is None:
            return None
        summary = json.loads(self._artifact(client, run.info.run_id, "gate/summary.json"))
        evidence = pd.read_parquet(
            io.BytesIO(self._artifact(client, run.info.run_id, "gate/evidence.parquet"))
        )
        columns = {name: evidence[name].to_numpy() for name in evidence.columns}
        tables = {
            name: pd.read_parquet(
                io.BytesIO(self._artifact(client, run.info.run_id, f"tables/{name}.parquet"))
            )
            for name in summary["tables"]
        }
        gate = GateInputs(
            model=summary["model"],
            **{name: columns.get(name) for name in _VALUES},
            baselines={
                name.removeprefix("baseline_"): values
                for name, values in columns.items()
                if name.startswith("baseline_")
            },
            figures=summary["figures"],
        )
        result = TrainingResult(
            status=summary["status"],
            reason=summary["reason"],
            estimator=None,
            parameters=summary["parameters"],
            evaluation=tables.pop("evaluation"),
            figures={},
            tables=tables,
            gate=gate,
        )
        return Candidate(
            model_version=model_version,
            result=result,
            decision=run.data.tags.get("decision"),
            decision_reason=run.data.tags.get("decision_reason", ""),
            tags=run.data.tags,
        )

    def record(
        self,
        model: str,
        model_version: str,
        result: TrainingResult,
        *,
        tags: Mapping[str, str],
        example: pd.DataFrame,
        trusted_types: Sequence[str],
    ) -> None:
        """Store a training: parameters, metrics, plots, evidence and, if there is one, the model.

        Args:
            model: Name in the registry.
            model_version: Content-derived version.
            result: What the training handed back.
            tags: As-of, horizon, input digest: what the version was made from.
            example: A few input rows without keys, for the signature.
            trusted_types: Types that skops may construct when the model is loaded.
        """
        import mlflow
        import pandas as pd

        client = self._client()
        run = client.create_run(
            self._experiment(client),
            run_name=f"{model}-{model_version}",
            tags={"model": model, "model_version": model_version, "status": result.status, **tags},
        )
        run_id = run.info.run_id
        for name, value in result.parameters.items():
            client.log_param(run_id, name, value)
        for row in result.evaluation.itertuples():
            if pd.notna(row.value):
                client.log_metric(run_id, _metric_name(row.period, row.metric), float(row.value))
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            self._write_evidence(folder, result)
            for title, figure in result.figures.items():
                (folder / "figures").mkdir(exist_ok=True)
                figure.savefig(folder / "figures" / f"{title}.png", dpi=110, metadata={})
            client.log_artifacts(run_id, str(folder))
        if result.estimator is not None:
            self._log_model(
                mlflow, client, run_id, model, model_version, result, example, trusted_types
            )
        client.set_terminated(run_id)

    @staticmethod
    def _write_evidence(folder: Path, result: TrainingResult) -> None:
        import pandas as pd

        gate = result.gate
        arrays = {name: getattr(gate, name) for name in _VALUES if getattr(gate, name) is not None}
        arrays |= {f"baseline_{name}": values for name, values in gate.baselines.items()}
        (folder / "gate").mkdir()
        (folder / "tables").mkdir()
        pd.DataFrame(arrays).to_parquet(folder / "gate" / "evidence.parquet")
        tables = {"evaluation": result.evaluation, **result.tables}
        for name, table in tables.items():
            table.reset_index(drop=True).to_parquet(folder / "tables" / f"{name}.parquet")
        summary = {
            "model": gate.model,
            "status": result.status,
            "reason": result.reason,
            "figures": dict(gate.figures),
            "parameters": result.parameters,
            "tables": sorted(tables),
        }
        (folder / "gate" / "summary.json").write_text(json.dumps(summary, sort_keys=True))

    @staticmethod
    def _log_model(
        mlflow: Any,
        client: MlflowClient,
        run_id: str,
        model: str,
        model_version: str,
        result: TrainingResult,
        example: pd.DataFrame,
        trusted_types: Sequence[str],
    ) -> None:
        from importlib.metadata import version

        packages = ("numpy", "pandas", "scikit-learn", "scipy")
        with mlflow.start_run(run_id=run_id):
            info = mlflow.sklearn.log_model(
                result.estimator,
                name=model,
                serialization_format="skops",
                skops_trusted_types=list(trusted_types),
                signature=mlflow.models.infer_signature(example),
                # given, because inferring them imports everything again: ten seconds
                pip_requirements=[f"{name}=={version(name)}" for name in packages],
            )
        for tag in _WHO_AND_WHERE:
            if tag in client.get_logged_model(info.model_id).tags:
                client.delete_logged_model_tag(info.model_id, tag)
        if not client.search_registered_models(f"name = '{model}'"):
            client.create_registered_model(model)
        registered = client.create_model_version(
            model, info.model_uri, run_id=run_id, tags={"model_version": model_version}
        )
        file = _model_file(mlflow, info.model_uri)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        for name, value in (("sha256", digest), ("trusted_types", json.dumps(list(trusted_types)))):
            client.set_model_version_tag(model, registered.version, name, value)

    def champion(self, model: str, *, horizon_days: int) -> Champion | None:
        """Return the model that scores, or ``None`` while there is none for this horizon.

        Raises:
            UserError: The model's file is gone, or not the one we recorded.
        """
        import mlflow
        import skops.io
        from mlflow.exceptions import MlflowException

        client = self._client()
        try:
            registered = client.get_model_version_by_alias(model, CHAMPION)
        except MlflowException:
            return None
        tags = client.get_run(str(registered.run_id)).data.tags
        if tags.get("horizon_days") != str(horizon_days):
            return None
        content = _registered_content(mlflow, registered)
        if content is None:
            raise UserError(
                f"the stored {model} model is gone or not the one that was registered: restore "
                "$CRM_HOME/mlflow from a backup, or remove its champion alias and train again."
            )
        return Champion(
            model_version=registered.tags["model_version"],
            estimator=skops.io.loads(content, trusted=json.loads(registered.tags["trusted_types"])),
            tags=tags,
        )

    def damaged_champions(self) -> list[str]:
        """Return the models whose champion's file is gone, or not the one we recorded."""
        if not (Path(self.folder) / DATABASE).is_file():
            return []
        import mlflow

        client = self._client()
        damaged = []
        for model in client.search_registered_models():
            if CHAMPION in model.aliases:
                registered = client.get_model_version_by_alias(model.name, CHAMPION)
                if _registered_content(mlflow, registered) is None:
                    damaged.append(str(model.name))
        return sorted(damaged)

    def appoint(self, model: str, model_version: str | None) -> None:
        """Let a version that was once registered rule, or, with ``None``, let no model rule.

        Raises:
            UserError: There is no such version any more.
        """
        from mlflow.exceptions import MlflowException

        client = self._client()
        if model_version is None:
            with suppress(MlflowException):  # there may be no such model at all
                client.delete_registered_model_alias(model, CHAMPION)
            return
        for registered in client.search_model_versions(f"name = '{model}'"):
            if registered.tags.get("model_version") == model_version:
                client.set_registered_model_alias(model, CHAMPION, registered.version)
                return
        raise UserError(
            f"{model} {model_version} is not in MLflow any more: restore $CRM_HOME/mlflow from a "
            "backup."
        )

    def champion_at(self, model: str, moment: datetime) -> str | None:
        """Return the version that ruled at ``moment`` (naive UTC): the last one promoted by then.

        MLflow keeps no history of aliases; a version is promoted right after it is registered.
        """
        client = self._client()
        until = moment.replace(tzinfo=UTC).timestamp() * 1000
        ruled = [
            (int(version.version), version.tags["model_version"])
            for version in client.search_model_versions(f"name = '{model}'")
            if version.creation_timestamp <= until
            and client.get_run(str(version.run_id)).data.tags.get("decision") == "promoted"
        ]
        return max(ruled)[1] if ruled else None

    def promoted(self, model: str) -> list[str]:
        """Return the versions that ever won the right to rule, oldest first."""
        client = self._client()
        won = [
            (int(version.version), str(version.tags["model_version"]))
            for version in client.search_model_versions(f"name = '{model}'")
            if client.get_run(str(version.run_id)).data.tags.get("decision") == "promoted"
        ]
        return [model_version for _, model_version in sorted(won)]

    def ruling(self, model: str) -> str | None:
        """Return the version that rules, whatever its horizon; its file is not looked at."""
        from mlflow.exceptions import MlflowException

        try:
            registered = self._client().get_model_version_by_alias(model, CHAMPION)
        except MlflowException:
            return None
        return str(registered.tags["model_version"])

    def describe(self, model: str, model_version: str, card: str) -> None:
        """Put a version's card beside it, in the registry and in its run."""
        client = self._client()
        run = self._run(client, model, model_version)
        if run is not None:
            client.log_text(run.info.run_id, card, "card.md")
        for registered in client.search_model_versions(f"name = '{model}'"):
            if registered.tags.get("model_version") == model_version:
                client.update_model_version(model, registered.version, card)

    def decide(self, model: str, model_version: str, *, promoted: bool, reason: str) -> None:
        """Write a gate's decision beside the version; promote it if it passed."""
        client = self._client()
        run = self._run(client, model, model_version)
        if run is None:
            raise UserError(f"{model} {model_version} is not in MLflow: materialise its candidate.")
        client.set_tag(run.info.run_id, "decision", "promoted" if promoted else "refused")
        client.set_tag(run.info.run_id, "decision_reason", reason)
        if promoted:
            for registered in client.search_model_versions(f"name = '{model}'"):
                if registered.tags.get("model_version") == model_version:
                    client.set_registered_model_alias(model, CHAMPION, registered.version)


def _metric_name(period: object, metric: object) -> str:
    """Return a name that MLflow takes: letters, digits and ``_-. :/`` only."""
    return re.sub(r"[^\w\-. :/]+", "to", f"{metric}/{period}")


def _registered_content(mlflow: Any, registered: Any) -> bytes | None:
    """Return a registered model's file, ``None`` where it is gone or has another digest."""
    from mlflow.exceptions import MlflowException

    try:
        uri = f"models:/{registered.name}/{registered.version}"
        content = _model_file(mlflow, uri).read_bytes()
    except (MlflowException, OSError):
        return None
    recorded = registered.tags.get("sha256")
    return content if hashlib.sha256(content).hexdigest() == recorded else None


def _model_file(mlflow: Any, model_uri: str) -> Path:
    folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=model_uri))
    return folder / _MODEL_FILE
