"""``crm backup`` and ``crm restore``."""

from __future__ import annotations

import argparse
from pathlib import Path

from crm_pipeline.settings import export_environment, load_settings, prepare_home


def backup(options: argparse.Namespace) -> int:
    """Write a verified copy of the home's state, also while a run is on."""
    from crm_pipeline.repair import manifest
    from crm_pipeline.repair.backup import make

    settings = load_settings()
    prepare_home(settings)
    target = Path(options.to).expanduser().absolute() if options.to else None
    folder = make(settings, target, history=options.history)
    said = manifest.read(folder)
    size = sum(file.size for file in said.files)
    print(
        f"crm: {folder} holds {len(said.files)} files, {size / 1e6:.1f} MB, as of {said.as_of}; "
        "verified."
    )
    return 0


def restore(options: argparse.Namespace) -> int:
    """Put a backup in the place of a home's state."""
    from crm_pipeline.repair.restore import restore as restore_backup

    settings = load_settings()
    export_environment(settings)
    home = Path(options.into).expanduser().absolute() if options.into else settings.home
    source = Path(options.backup).expanduser().absolute()
    aside = restore_backup(source, home, force=options.force)
    print(f"crm: restored {source} into {home}; bring it up to date with `crm run`.")
    if aside is not None:
        print(f"crm: what it replaced is kept in {aside}; delete that once you are content.")
    return 0
