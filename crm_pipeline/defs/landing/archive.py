"""The archive: each landed content once, as it came, so that a changed contract can be applied.

``archive/<source>/<table>/<digest>.gz`` (``.parquet`` for Parquet). The name is the digest of the
normalised text; the bytes are those of the first file that brought it, gzip-compressed.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import zlib
from collections.abc import Collection
from pathlib import Path

from crm_pipeline.defs.landing.contracts import TableContract
from crm_pipeline.defs.landing.stream import digest_of_bytes


class Archive:
    """The folder ``$CRM_HOME/archive``."""

    def __init__(self, root: Path) -> None:
        """Take the folder; it is made when the first file is kept."""
        self.root = root

    def path(self, table: TableContract, digest: str) -> Path:
        """Return where a content is kept."""
        suffix = "parquet" if table.format == "parquet" else "gz"
        return self.root / table.source / table.name / f"{digest}.{suffix}"

    def find(self, table: TableContract, digest: str) -> Path | None:
        """Return a kept content, or ``None``."""
        path = self.path(table, digest)
        return path if path.is_file() else None

    def keep(self, table: TableContract, digest: str, copy: Path) -> None:
        """Move ``copy`` into the archive, durably."""
        target = self.path(table, digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        with copy.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(copy, target)
        _sync_folder(target.parent)

    def remove(self, table: TableContract, digest: str) -> None:
        """Remove a content that did not land after all."""
        self.path(table, digest).unlink(missing_ok=True)

    def is_intact(self, table: TableContract, digest: str, raw_digests: Collection[str]) -> bool:
        """Whether a kept content is, byte for byte, one of the files that brought it.

        Args:
            table: Its table.
            digest: The content.
            raw_digests: SHA-256 of the bytes of those files, as the ledger has them.
        """
        path = self.path(table, digest)
        if digest_of_bytes(path) in raw_digests:
            return True
        try:
            with gzip.open(path, "rb") as file:
                plain = hashlib.file_digest(file, "sha256")  # type: ignore[arg-type]
        except (OSError, EOFError, zlib.error):
            return False
        return plain.hexdigest() in raw_digests

    def remove_table(self, table: TableContract) -> None:
        """Remove what is kept of a table, because it turned out to hold direct identifiers."""
        shutil.rmtree(self.root / table.source / table.name, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
