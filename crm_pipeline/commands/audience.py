"""``crm audiences`` and ``crm audience``: what audiences there are, plans, sends, what was sent."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from crm_pipeline.errors import UserError
from crm_pipeline.settings import export_environment, load_settings

if TYPE_CHECKING:
    from crm_pipeline.activation.plan import Plan
    from crm_pipeline.activation.sending import Sender, Sent


def audiences(options: argparse.Namespace) -> int:
    """List the audiences with their purpose, channel and destinations."""
    from crm_pipeline.activation.running import all_audiences
    from crm_pipeline.resources.dbt import ensure_manifest

    settings = load_settings()
    export_environment(settings)
    found = all_audiences(ensure_manifest())
    if options.json:
        print(json.dumps([_described(one) for one in found.values()], indent=1))
        return 0
    for name, one in found.items():
        print(f"{name:<22} {one.channel:<12} {', '.join(one.destinations):<26} {one.purpose}")
    print("see what would be sent with `crm audience plan NAME`")
    return 0


def _described(audience: object) -> dict[str, object]:
    from dataclasses import asdict

    from crm_pipeline.activation.audiences import Audience

    assert isinstance(audience, Audience)
    return asdict(audience)


def audience(options: argparse.Namespace) -> int:
    """Plan or send one audience, or say what was sent."""
    if options.action == "status":
        return _status(options.name, as_json=options.json)
    if options.name is None:
        raise UserError(f"say which one: crm audience {options.action} NAME (see `crm audiences`).")
    from crm_pipeline.activation.running import senders
    from crm_pipeline.resources.dbt import ensure_manifest

    settings = load_settings()
    export_environment(settings)
    found, missing = senders(settings, ensure_manifest(), options.name, options.to)
    for line in missing:
        print(f"crm: {line}")
    codes = [
        _plan(one, options)
        if options.action == "plan" or options.dry_run
        else _send(one, accept_drop=options.accept_drop)
        for one in found
    ]
    return max(codes)


def _plan(sender: Sender, options: argparse.Namespace) -> int:
    plan = sender.plan(accept_drop=options.accept_drop)
    _print_plan(sender, plan)
    print("  nothing was sent")
    return 1 if plan.stopped else 0


def _send(sender: Sender, *, accept_drop: bool) -> int:
    done = sender.send(accept_drop=accept_drop)
    _print_plan(sender, done.plan)
    print(f"  {_outcome(done)}")
    for fault in done.faults:
        print(f"  not delivered: {fault}; send again when it is mended")
    return 1 if done.faults or done.plan.stopped else 0


def _outcome(done: Sent) -> str:
    if not done.plan.items:
        return "nothing to send"
    parts = [f"sent {done.items:,} in {done.batches:,} batch(es)"]
    if done.rejected:
        parts.append(f"{done.rejected:,} rejected by the destination")
    if done.withdrawn:
        parts.append(f"{done.withdrawn:,} taken out at the last moment")
    return ", ".join(parts)


def _print_plan(sender: Sender, plan: Plan) -> None:
    from crm_pipeline.activation.plan import REASONS

    counts = f"{plan.count('add'):,} to add, {plan.count('change'):,} to change, "
    counts += f"{plan.count('remove'):,} to remove, {plan.unchanged:,} as they should be"
    print(f"crm: {sender.audience.name} to {sender.name}, as of {plan.as_of}: {counts}")
    for title, reasons in (("removed", plan.removals), ("left out", plan.suppressed)):
        for reason, count in reasons.items():
            print(f"  {title}: {count:,} {REASONS[reason]}")
    if plan.arms:
        held_out = sum(arm == "holdout" for arm in plan.arms.values())
        print(
            f"  experiment {sender.audience.experiment}: {len(plan.arms):,} new, "
            f"{held_out:,} of them held out"
        )
    if plan.stopped:
        print(
            f"  stopped: {plan.stopped}. If this is right, repeat with --accept-drop; else mend "
            "the source"
        )


def _status(name: str | None, *, as_json: bool) -> int:
    from crm_pipeline.activation.records import status

    settings = load_settings()
    rows = [row for row in status(settings.home) if name in (None, row["audience"])]
    if as_json:
        print(json.dumps(rows, default=str, indent=1))
    elif not rows:
        print("crm: nothing was sent yet; `crm audiences` lists what can be")
    for row in [] if as_json else rows:
        line = f"{row['audience']:<22} {row['destination']:<14} holds {row['held_count']:,}"
        if row["unsure_count"]:
            line += f" ({row['unsure_count']:,} unsure: send again)"
        line += f", last delivered {_day(row['last_delivered_at'])}"
        if row["last_fault"]:
            line += f"; dead letters: {row['dead_batches']:,}, last: {row['last_fault']}"
        print(line)
    return 1 if any(row["unsure_count"] for row in rows) else 0


def _day(at: object) -> str:
    return "never" if at is None else f"{at:%Y-%m-%d %H:%M} UTC"
