"""``crm doctor`` and ``crm rollback``: what is wrong with a home; going back a publication."""

from __future__ import annotations

import argparse

from crm_pipeline.errors import UserError
from crm_pipeline.settings import export_environment, load_settings


def doctor(options: argparse.Namespace) -> int:
    """Print a line for each finding, mend what is safe; 0 if nothing is left, 1 if something is."""
    from crm_pipeline.repair.doctor import examine, mend

    settings = load_settings()
    export_environment(settings)
    found = examine(settings)
    if options.fix:
        done = mend(found)
        for line in done:
            print(line)
        if done:
            found = examine(settings)
    for finding in found.findings:
        print(finding)
    if not found.findings:
        print(f"healthy: {found.parts} parts of {settings.home} were examined")
    return 1 if found.findings else 0


def rollback(options: argparse.Namespace) -> int:
    """List the publications, or let readers see an older one again."""
    from crm_pipeline.defs.publication import swap
    from crm_pipeline.repair.publications import faults, publications

    settings = load_settings()
    known = publications(settings.published)
    if options.to is None:
        for one in known:
            seen = "  <- readers see this one" if one.is_current else ""
            print(f"{one.number:>6}  as of {one.as_of}, built {one.built_at} UTC{seen}")
        if not known:
            raise UserError(f"nothing is published yet in {settings.published}: run `crm run`.")
        print("go back with `crm rollback --to NUMBER`")
        return 0
    with swap.changing(settings.published):
        chosen = next(
            (one for one in publications(settings.published) if one.number == options.to), None
        )
        if chosen is None:
            listed = ", ".join(str(one.number) for one in known) or "none"
            raise UserError(f"there is no publication {options.to}; kept are {listed}.")
        if chosen.is_current:
            raise UserError(f"publication {options.to} is the one that readers see; name another.")
        if wrong := faults(chosen.folder):
            raise UserError(
                f"publication {options.to} is damaged ({'; '.join(wrong)}): take another one."
            )
        folder = swap.republish(settings.published, options.to)
    print(
        f"crm: readers see the publication as of {chosen.as_of}, built {chosen.built_at} UTC, "
        f"again; it is number {int(folder.name)} now. The next `crm run` publishes anew."
    )
    return 0
