"""``crm champion``: which models rule, and going back to one that ruled before."""

from __future__ import annotations

import argparse

from crm_pipeline.errors import UserError
from crm_pipeline.settings import Settings, export_environment, load_settings


def champion(options: argparse.Namespace) -> int:
    """List the champions, or let an earlier one rule again from the next run on."""
    from crm_pipeline.defs.modelling.registered import MODELS

    settings = load_settings()
    export_environment(settings)
    names = [spec.name for spec in MODELS]
    if options.model is None:
        if options.back or options.to:
            raise UserError(f"say of which model: crm champion MODEL; there are {_listed(names)}.")
        return _list(settings, names)
    if options.model not in names:
        raise UserError(f"there is no model {options.model}; there are {_listed(names)}.")
    if options.back and options.to:
        raise UserError("give either --back or --to VERSION.")
    if not (options.back or options.to):
        return _list(settings, [options.model])
    return _go_back(settings, options.model, options.to)


def _listed(names: list[str]) -> str:
    return ", ".join(names)


def _list(settings: Settings, names: list[str]) -> int:
    from crm_pipeline.resources.tracking import Tracking

    tracking = Tracking(folder=str(settings.home / "mlflow"))
    for name in names:
        ruling = tracking.ruling(name)
        before = [version for version in tracking.promoted(name) if version != ruling]
        earlier = f"  (ruled before: {_listed(before)})" if before else ""
        print(f"{name:<16} {ruling or 'nobody rules'}{earlier}")
    print("go back with `crm champion MODEL --back` or `--to VERSION`")
    return 0


def _go_back(settings: Settings, model: str, version: str | None) -> int:
    from crm_pipeline.resources.tracking import Tracking

    tracking = Tracking(folder=str(settings.home / "mlflow"))
    ruling, won = tracking.ruling(model), tracking.promoted(model)
    if version is None:
        before = won[: won.index(ruling)] if ruling in won else won
        if not before:
            raise UserError(f"no version of {model} ruled before {ruling or 'now'}.")
        version = before[-1]
    if version == ruling:
        raise UserError(f"{model} {version} rules already.")
    if version not in won:
        raise UserError(
            f"{model} {version} never ruled; versions that did are {_listed(won) or 'none'}."
        )
    tracking.appoint(model, version)
    print(
        f"crm: {model} {version} rules again, instead of {ruling or 'nobody'}. The next `crm run` "
        "scores with it; it rules until a new candidate beats it."
    )
    return 0
