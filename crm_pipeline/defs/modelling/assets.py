"""Three assets a model: trained and evaluated, gated, scored. One an analysis."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import dagster as dg

from crm_pipeline.defs.modelling.history import GRADED, compare, concerns, grade, remember
from crm_pipeline.defs.modelling.registered import ANALYSES, MODELS
from crm_pipeline.defs.modelling.spec import AnalysisSpec, ModelSpec, Scored
from crm_pipeline.defs.modelling.store import (
    RunSettings,
    content_version,
    followed_version,
    replace_table,
    run_settings,
    save_candidate,
    save_card,
    save_champion,
    save_decision,
    status_without_champion,
    write_scores,
)
from crm_pipeline.resources.home import plain_failures
from crm_pipeline.resources.tracking import Candidate, Tracking
from crm_pipeline.resources.warehouse import WRITER_POOL, Warehouse

OWNERS = ["team:data-science"]
RETRY = dg.RetryPolicy(max_retries=1, delay=2)
SETTINGS = dg.AssetKey(["control", "run_settings"])


def _tables(names: Sequence[str]) -> list[dg.AssetKey]:
    return [dg.AssetKey(name.split(".")) for name in names]


def _keys(spec: ModelSpec) -> tuple[dg.AssetKey, dg.AssetKey]:
    return (
        dg.AssetKey(["models", f"{spec.name}_candidate"]),
        dg.AssetKey(["models", f"{spec.name}_champion"]),
    )


def candidate_asset(spec: ModelSpec) -> dg.AssetsDefinition:
    """Return the asset that trains and evaluates one model."""
    key, _ = _keys(spec)

    @dg.asset(
        key=key,
        deps=_tables(spec.training_reads),
        group_name="modelling",
        owners=OWNERS,
        kinds={"python", "scikitlearn", "mlflow"},
        pool=WRITER_POOL,
        description=f"The {spec.name} model, trained and evaluated on a later period; in MLflow.",
    )
    def candidate(
        context: dg.AssetExecutionContext, warehouse: Warehouse, tracking: Tracking
    ) -> dg.MaterializeResult:
        with plain_failures():
            with warehouse.reader() as db:
                settings = run_settings(db)
                frames = spec.training_frames(db, settings)
            content, digest = content_version(
                (spec.package, *spec.borrows), frames, spec.settings(settings)
            )
            champion = tracking.champion(spec.name, horizon_days=spec.horizon_days(settings))
            version = content
            if spec.follows_champion and champion is not None:
                version = followed_version(
                    content, champion.model_version, champion.tags.get("content_version")
                )
            known = tracking.candidate(spec.name, version)
            if known is None:
                result = spec.train(frames, settings, champion and champion.estimator)
                if frames[spec.subject].empty:
                    result = replace(result, parameters={**result.parameters, "is_applicable": 0})
                tracking.record(
                    spec.name,
                    version,
                    result,
                    tags={
                        "as_of": settings.as_of.isoformat(),
                        "horizon_days": str(spec.horizon_days(settings)),
                        "input_digest": digest,
                        "content_version": content,
                        "opponent": champion.model_version if champion else "baseline",
                    },
                    example=_example(frames),
                    trusted_types=spec.trusted_types(),
                )
            else:
                result = known.result
            with warehouse.writer() as db:
                save_candidate(
                    db,
                    model=spec.name,
                    model_version=version,
                    as_of=settings.as_of,
                    result=result,
                )
        context.log.info(f"{spec.name} {version}: {result.status}. {result.reason}")
        return dg.MaterializeResult(
            metadata={
                "model_version": version,
                "status": result.status,
                "reason": result.reason,
                "trained_now": known is None,
                "input_digest": digest,
            }
        )

    return candidate


def _example(frames: dict) -> object:
    known = [frame for name, frame in frames.items() if name in ("features", "now")]
    features = (known or list(frames.values()))[0]
    return features.drop(columns=[c for c in features if c.endswith(("_key", "_on"))]).head(5)


def champion_asset(spec: ModelSpec) -> dg.AssetsDefinition:
    """Return the asset that lets a candidate rule, or says why not."""
    candidate_key, key = _keys(spec)

    @dg.asset(
        key=key,
        deps=[candidate_key],
        group_name="modelling",
        owners=OWNERS,
        kinds={"python", "mlflow"},
        pool=WRITER_POOL,
        description=f"The {spec.name} model that scores: promoted only if it earned its place.",
        check_specs=[
            dg.AssetCheckSpec(
                "candidate_earned_its_place",
                asset=key,
                description="The newest candidate beats baseline and champion; else it stays out.",
            )
        ],
    )
    def champion(
        context: dg.AssetExecutionContext, warehouse: Warehouse, tracking: Tracking
    ) -> Iterator[dg.MaterializeResult]:
        from ml.evaluation.gate import decide

        with plain_failures(), warehouse.writer() as db:
            settings = run_settings(db)
            row = db.execute(
                "select model_version from control.model_candidates where model = ?", [spec.name]
            ).fetchone()
            version = row[0] if row else ""
            candidate = tracking.candidate(spec.name, version)
            if candidate is None:
                raise dg.Failure(f"{spec.name} has no candidate: materialise it first.")
            decision, reason = candidate.decision, candidate.decision_reason
            if decision is None:
                decided = decide(candidate.result)
                decision = "promoted" if decided.promoted else "refused"
                reason = decided.reason
                tracking.decide(spec.name, version, promoted=decided.promoted, reason=reason)
            save_decision(
                db, model=spec.name, model_version=version, decision=decision, reason=reason
            )
            if decision == "promoted":
                card = _card(spec, candidate, settings, reason)
                tracking.describe(spec.name, version, card)
                save_card(db, model=spec.name, model_version=version, card=card)
        context.log.info(f"{spec.name} {version}: {reason}")
        yield dg.MaterializeResult(
            metadata={"model_version": version, "decision": decision, "reason": reason},
            check_results=[
                dg.AssetCheckResult(
                    check_name="candidate_earned_its_place",
                    # a company without the facts that a model is of is not warned for ever
                    passed=decision == "promoted" or not _is_applicable(candidate),
                    severity=dg.AssetCheckSeverity.WARN,
                    description=reason,
                    metadata={"model_version": version, "status": candidate.result.status},
                )
            ],
        )

    return champion


def _is_applicable(candidate: Candidate) -> bool:
    """Whether the company has what the model is of."""
    return candidate.result.parameters.get("is_applicable", 1) != 0


def _card(spec: ModelSpec, candidate: Candidate, settings: RunSettings, reason: str) -> str:
    from ml.evaluation.card import About, model_card

    about = About(
        model=spec.name,
        model_version=candidate.model_version,
        as_of=candidate.tags["as_of"],
        description=spec.description,
        limits=spec.limits,
        input_digest=candidate.tags["input_digest"],
        settings=spec.settings(settings),
        opponent=candidate.tags["opponent"],
    )
    return model_card(about, candidate.result, reason)


def scores_asset(spec: ModelSpec) -> dg.AssetsDefinition:
    """Return the asset that writes what the champion says as of today."""
    _, champion_key = _keys(spec)
    main = dg.AssetKey(["scores", spec.table])
    specs = [
        dg.AssetSpec(
            dg.AssetKey(["scores", table]),
            deps=[champion_key, SETTINGS, *_tables(spec.scoring_reads)],
            group_name="modelling",
            owners=OWNERS,
            kinds={"python", "duckdb"},
            description=spec.description,
        )
        for table in [spec.table, *spec.further]
    ]

    @dg.multi_asset(name=f"score_{spec.name}", specs=specs, pool=WRITER_POOL, retry_policy=RETRY)
    def scores(warehouse: Warehouse, tracking: Tracking) -> Iterator[dg.MaterializeResult]:
        with plain_failures(), warehouse.writer() as db:
            settings = run_settings(db)
            champion = tracking.champion(spec.name, horizon_days=spec.horizon_days(settings))
            scored = (
                spec.score(champion.estimator, spec.scoring_frames(db, settings), settings)
                if champion
                else None
            )
            version = champion.model_version if champion else None
            # with a champion, who is left out had nothing the model could read
            status = "too_little_data" if champion else status_without_champion(db, spec.name)
            if champion is None and spec.without_champion is not None:
                scored = Scored(spec.without_champion(db, settings, status))
            counts = write_scores(
                db,
                spec,
                scored,
                as_of=settings.as_of,
                model_version=version,
                status=status,
            )
            spec.afterwards(db, settings, lambda n, days: tracking.champion(n, horizon_days=days))
            save_champion(db, spec.name, version)
        yield dg.MaterializeResult(
            asset_key=main,
            metadata={
                "dagster/row_count": sum(counts.values()),
                "model_version": version or "none",
                **counts,
            },
        )
        for table in spec.further:
            yield dg.MaterializeResult(asset_key=dg.AssetKey(["scores", table]))

    return scores


def analysis_asset(spec: AnalysisSpec) -> dg.AssetsDefinition:
    """Return the asset that computes an analysis's tables anew."""
    specs = [
        dg.AssetSpec(
            dg.AssetKey(["scores", table]),
            deps=[SETTINGS, *_tables(spec.reads)],
            group_name="modelling",
            owners=OWNERS,
            kinds={"python", "duckdb"},
            description=spec.description,
        )
        for table in spec.tables
    ]

    @dg.multi_asset(name=f"analyse_{spec.name}", specs=specs, pool=WRITER_POOL, retry_policy=RETRY)
    def analysis(warehouse: Warehouse) -> Iterator[dg.MaterializeResult]:
        with plain_failures(), warehouse.writer() as db:
            settings = run_settings(db)
            computed = spec.compute(spec.frames(db, settings), settings)
            rows = {
                table: replace_table(db, table, types, computed[table], settings.as_of)
                for table, types in spec.tables.items()
            }
            spec.afterwards(db, settings)
            for table, count in rows.items():
                yield dg.MaterializeResult(
                    asset_key=dg.AssetKey(["scores", table]),
                    metadata={"dagster/row_count": count},
                )

    return analysis


REMEMBERED = [dg.AssetKey(["scores", model.table]) for model in GRADED]


@dg.asset(
    key=dg.AssetKey(["control", "model_monitoring"]),
    deps=[*REMEMBERED, *_tables(["marts.fct_orders", "marts.dim_customers"])],
    group_name="modelling",
    owners=OWNERS,
    kinds={"python", "duckdb"},
    pool=WRITER_POOL,
    retry_policy=RETRY,
    description="Past scores, graded against what then happened; how far scores have moved.",
    check_specs=[
        dg.AssetCheckSpec(
            "champions_still_deserve_to_rule",
            asset=dg.AssetKey(["control", "model_monitoring"]),
            description="What happened is within what was predicted, and scores have not drifted. "
            "If not: `models_drifted` asks for a training run.",
        )
    ],
)
def model_monitoring(warehouse: Warehouse) -> dg.MaterializeResult:
    """Remember today's scores, grade those whose horizon is over, compare with the first ones."""
    with plain_failures(), warehouse.writer() as db:
        settings = run_settings(db)
        remembered = remember(db, settings)
        card, drift = grade(db, settings), compare(db, settings)
    worries = concerns(card, drift)
    return dg.MaterializeResult(
        metadata={"remembered": remembered, "grades": len(card), "compared": len(drift)},
        check_results=[
            dg.AssetCheckResult(
                check_name="champions_still_deserve_to_rule",
                passed=not worries,
                severity=dg.AssetCheckSeverity.WARN,
                description="; ".join(worries) or None,
                metadata={"worries": len(worries)},
            )
        ],
    )


@dg.definitions
def models() -> dg.Definitions:
    """Return the three assets of every model, the one of every analysis, and the monitoring."""
    makers = (candidate_asset, champion_asset, scores_asset)
    return dg.Definitions(
        assets=[
            *(make(spec) for spec in MODELS for make in makers),
            *(analysis_asset(spec) for spec in ANALYSES),
            model_monitoring,
        ]
    )
