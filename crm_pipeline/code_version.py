"""A digest of everything that decides a number: what a build was made by."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version

from crm_pipeline.settings import CHECKOUT

_CODE = (
    ("crm_pipeline", "*.py"),
    ("ml", "*.py"),
    ("ml", "*.txt"),
    ("expectations", "*.json"),
    ("dbt_project/models", "*"),
    ("dbt_project/macros", "*.sql"),
    ("dbt_project/seeds", "*.csv"),
)


@cache
def code_version() -> str:
    """Return the package version and a digest of everything that decides a number."""
    digest = hashlib.sha256()
    for folder, pattern in _CODE:
        for file in sorted((CHECKOUT / folder).rglob(pattern)):
            if file.is_file():
                digest.update(file.relative_to(CHECKOUT).as_posix().encode() + file.read_bytes())
    return f"{version('crm-pipeline')}+{digest.hexdigest()[:12]}"
