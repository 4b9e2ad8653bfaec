"""The archive: each landed content once, as it came, so that a changed contract can be applied.

``archive/<source>/<table>/<digest>.gz`` (``.parquet`` for Parquet). The name is the digest of the
normalised text; the bytes are those of the first file that brought it, gzip-compressed. Of a table
with direct identifiers, and where the lines of a forgotten customer were taken out, the copy is
sealed (``.sealed``, see ``crm_pipeline/vault/sealed.py``).
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from crm_pipeline.defs.landing.contracts import TableContract
from crm_pipeline.defs.landing.guard import Guard
from crm_pipeline.defs.landing.stream import digest_of_bytes
from crm_pipeline.vault.private import private_file


class Archive:
    """The folder ``$CRM_HOME/archive``."""

    def __init__(self, root: Path, guard: Guard) -> None:
        """Take the folder; it is made when the first file is kept."""
        self.root = root
        self.guard = guard

    def path(self, table: TableContract, digest: str, *, is_sealed: bool) -> Path:
        """Return where a content is kept, in clear or sealed."""
        suffix = "parquet" if table.format == "parquet" else "gz"
        name = f"{digest}.{suffix}{'.sealed' if is_sealed else ''}"
        return self.root / table.source / table.name / name

    def find(self, table: TableContract, digest: str) -> Path | None:
        """Return a kept content, or ``None``; it may be sealed, see ``opened``."""
        for is_sealed in (True, False):
            path = self.path(table, digest, is_sealed=is_sealed)
            if path.is_file():
                return path
        return None

    def keep(
        self,
        table: TableContract,
        digest: str,
        copy: Path,
        erased: Sequence[int] = (),
        *,
        seals: bool = False,
    ) -> None:
        """Put a copy of a content into the archive, durably; sealed where it must be.

        Args:
            table: Its table.
            digest: The content.
            copy: The copy; a named one is moved.
            erased: Lines that were taken out of it.
            seals: Seal it in any case.
        """
        is_sealed = seals or table.is_sealed or bool(erased)
        target = self.path(table, digest, is_sealed=is_sealed)
        target.parent.mkdir(parents=True, exist_ok=True)
        if is_sealed:
            from crm_pipeline.vault.sealed import seal

            sealed = target.with_name(f".{target.name}.new")
            seal(self.guard.keys, copy, sealed, _label(table, digest), erased)
            copy = sealed
        with copy.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(copy, target)
        self.path(table, digest, is_sealed=not is_sealed).unlink(missing_ok=True)
        _sync_folder(target.parent)

    def remove(self, table: TableContract, digest: str) -> None:
        """Remove a content that did not land after all."""
        for is_sealed in (True, False):
            self.path(table, digest, is_sealed=is_sealed).unlink(missing_ok=True)

    @contextmanager
    def opened(
        self, table: TableContract, path: Path, folder: Path
    ) -> Iterator[tuple[Path, tuple[int, ...]]]:
        """Yield a file to read a kept content from, and the lines that were taken out of it.

        What is sealed is unsealed into a file without a name, on the disk of ``folder``.
        """
        if not _is_sealed(path):
            yield path, ()
            return
        from crm_pipeline.vault.sealed import unseal

        plain = private_file(folder)
        label = _label(table, path.name.partition(".")[0])
        header = unseal(self.guard.keys, path, plain, label)
        yield plain, header.erased

    def erased_of(self, table: TableContract, path: Path) -> frozenset[int]:
        """Return the lines that were taken out of a kept content."""
        if not _is_sealed(path):
            return frozenset()
        from crm_pipeline.vault.sealed import header_of

        label = _label(table, path.name.partition(".")[0])
        return frozenset(header_of(self.guard.keys, path, label).erased)

    def is_intact(self, table: TableContract, digest: str, raw_digests: Collection[str]) -> bool:
        """Whether a kept content is, byte for byte, one of the files that brought it.

        A sealed one vouches for itself, whatever was taken out of it.

        Args:
            table: Its table.
            digest: The content.
            raw_digests: SHA-256 of the bytes of those files, as the ledger has them.
        """
        path = self.find(table, digest)
        if path is None:
            return False
        if _is_sealed(path):
            return self._unseals(table, path)
        if digest_of_bytes(path) in raw_digests:
            return True
        try:
            with gzip.open(path, "rb") as file:
                plain = hashlib.file_digest(file, "sha256")  # type: ignore[arg-type]
        except (OSError, EOFError, zlib.error):
            return False
        return plain.hexdigest() in raw_digests

    def _unseals(self, table: TableContract, path: Path) -> bool:
        from crm_pipeline.vault.sealed import BrokenSealError, unseal

        try:
            unseal(
                self.guard.keys, path, Path(os.devnull), _label(table, path.name.partition(".")[0])
            )
        except (BrokenSealError, OSError):
            return False
        return True

    def contents(self, table: TableContract) -> list[tuple[str, Path]]:
        """Return every kept content of a table: digest and path."""
        folder = self.root / table.source / table.name
        found = {path.name.partition(".")[0]: path for path in sorted(folder.glob("[!.]*"))}
        return [(digest, path) for digest in found if (path := self.find(table, digest))]

    def seal_clear(self, table: TableContract) -> None:
        """Seal copies in clear of a table that turned out to hold what must not lie in clear."""
        for digest, path in self.contents(table):
            if not _is_sealed(path):
                self.keep(table, digest, path, seals=True)


def _is_sealed(path: Path) -> bool:
    return path.name.endswith(".sealed")


def _label(table: TableContract, digest: str) -> str:
    return f"{table.source}/{table.name}/{digest}"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
