"""Sending an audience as a step of a job of its own (``automation.py``); no run sends anything."""

import dagster as dg

from crm_pipeline.activation.running import senders
from crm_pipeline.resources.dbt import ensure_manifest
from crm_pipeline.resources.home import Home, plain_failures


class SendConfig(dg.Config):
    """Launchpad options of a send.

    Attributes:
        audience: Its name.
        to: One destination; empty is all that are set up.
        dry_run: Plan only.
        accept_drop: Send though the guard objects.
    """

    audience: str
    to: str = ""
    dry_run: bool = False
    accept_drop: bool = False


@dg.op
def send_one_audience(context: dg.OpExecutionContext, config: SendConfig, home: Home) -> None:
    """Send one audience of the publication; what was sent is counted, never named."""
    with plain_failures():
        found, missing = senders(
            home.settings(), ensure_manifest(), config.audience, config.to or None
        )
        for line in missing:
            context.log.warning(line)
        faults = []
        for sender in found:
            if config.dry_run:
                plan, batches = sender.plan(accept_drop=config.accept_drop), 0
            else:
                done = sender.send(accept_drop=config.accept_drop)
                plan, batches = done.plan, done.batches
                faults += done.faults
            context.log.info(
                f"{sender.audience.name} to {sender.name}: {plan.count('add')} added, "
                f"{plan.count('change')} changed, {plan.count('remove')} removed, "
                f"{plan.unchanged} as they should be, left out {dict(plan.suppressed)}, "
                f"{batches} batches"
            )
            faults += [plan.stopped] if plan.stopped else []
    if faults:
        raise dg.Failure(description="; ".join(faults), allow_retries=False)
