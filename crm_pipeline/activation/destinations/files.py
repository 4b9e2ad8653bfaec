"""Files below ``$CRM_HOME/outbox/<destination>/<audience>/current/``, replaced whole.

``members.csv`` (or ``.jsonl``) is the list as it should be, ``removed`` has the ids of everybody
who was on it and is not any more, ``SHA256SUMS`` their digests (``sha256sum -c SHA256SUMS``), and
with a secret ``SHA256SUMS.hmac`` signs those. ``current`` is a link, which moves when everything
is written; what it pointed at is deleted, since it may name people who have left.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import json
import os
import re
import shutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from crm_pipeline.activation.audiences import Audience
from crm_pipeline.activation.destinations.base import Delivery, Taken
from crm_pipeline.commands.export import defused
from crm_pipeline.errors import UserError

OUTBOX = "outbox"
CURRENT = "current"
ID = "external_id"
SUMS = "SHA256SUMS"
_PHONE = re.compile(r"\+\d{7,15}")
"""E.164, as import masks want it: no spreadsheet computes anything of it."""

Row = dict[str, str | None]


class FileDestination:
    """A folder of files."""

    batch_size: int | None = None

    def __init__(self, folder: Path, form: str, secret: str | None) -> None:
        """Take the destination's folder, ``csv`` or ``jsonl``, and the key of its signature."""
        self.folder = folder
        self.form = form
        self.secret = secret

    def holds(self, audience: Audience) -> frozenset[str]:
        """Return whom the file names."""
        return frozenset(self._read(self.folder / audience.name, "members"))

    def deliver(self, delivery: Delivery) -> Taken:
        """Write the list anew with a batch's changes."""
        place = self.folder / delivery.audience.name
        members, removed = self._read(place, "members"), set(self._read(place, "removed"))
        for external_id in delivery.removals:
            members.pop(external_id, None)
            removed.add(external_id)
        for external_id, fields in delivery.upserts.items():
            members[external_id] = {ID: external_id, **self._safe(fields)}
            removed.discard(external_id)
        self._write(place, delivery, members, removed)
        return Taken()

    def _safe(self, fields: Mapping[str, str | None]) -> Row:
        if self.form != "csv":
            return dict(fields)
        return {
            name: value if value is None or _PHONE.fullmatch(value) else defused(value)
            for name, value in fields.items()
        }

    def _read(self, place: Path, what: str) -> dict[str, Row]:
        """Return the rows of a file that was delivered, by id; none where there is none.

        Raises:
            UserError: Somebody else wrote into it.
        """
        current = place / CURRENT
        file = current / f"{what}.{self.form}"
        if not file.is_file():
            return {}
        content = file.read_bytes()
        sums = (current / SUMS).read_text() if (current / SUMS).is_file() else ""
        if f"{hashlib.sha256(content).hexdigest()}  {file.name}\n" not in sums:
            raise UserError(
                f"{file} is not as it was written: move {place} away and send again; the whole "
                "list is then written anew."
            )
        text = content.decode()
        rows: Iterable[Row] = (
            csv.DictReader(io.StringIO(text, newline=""))
            if self.form == "csv"
            else (json.loads(line) for line in text.splitlines())
        )
        return {str(row[ID]): row for row in rows}

    def _write(
        self, place: Path, delivery: Delivery, members: Mapping[str, Row], removed: Iterable[str]
    ) -> None:
        place.mkdir(parents=True, exist_ok=True)
        for folder in (self.folder.parent, self.folder, place):
            folder.chmod(0o700)
        _clear(place)
        folder = place / f"batch-{delivery.sequence:06d}-{delivery.batch_id[:8]}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        fields = [ID, *delivery.audience.fields]
        files = {
            f"members.{self.form}": self._text([members[one] for one in sorted(members)], fields),
            f"removed.{self.form}": self._text([{ID: one} for one in sorted(removed)], [ID]),
        }
        sums = ""
        for name, text in files.items():
            _write_file(folder / name, text.encode())
            sums += f"{hashlib.sha256(text.encode()).hexdigest()}  {name}\n"
        _write_file(folder / SUMS, sums.encode())
        if self.secret:
            signature = hmac.digest(self.secret.encode(), sums.encode(), "sha256").hex()
            _write_file(folder / f"{SUMS}.hmac", f"{signature}  {SUMS}\n".encode())
        _sync(folder)
        link = place / f".{CURRENT}"
        link.unlink(missing_ok=True)
        link.symlink_to(folder.name)
        os.replace(link, place / CURRENT)
        _sync(place)
        _clear(place)

    def _text(self, rows: Iterable[Row], fields: list[str]) -> str:
        if self.form == "jsonl":
            return "".join(
                json.dumps({name: row.get(name) for name in fields}, ensure_ascii=False) + "\n"
                for row in rows
            )
        out = io.StringIO(newline="")
        writer = csv.DictWriter(out, fields, lineterminator="\r\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
        return out.getvalue()


def file_faults(outbox: Path) -> list[Path]:
    """Return the files of the outbox that are not what their digests say."""
    wrong = []
    for sums in sorted(outbox.glob(f"*/*/{CURRENT}/{SUMS}")):
        for line in sums.read_text().splitlines():
            digest, _, name = line.partition("  ")
            file = sums.with_name(name)
            if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != digest:
                wrong.append(file)
    return wrong


def drop_members(place: Path, external_ids: Iterable[str]) -> bool:
    """Take people off a list of files at once; return whether ``place`` is such a list.

    A signature goes: it was of the list as it stood. The next send signs anew.
    """
    gone, found = set(external_ids), False
    for form in ("csv", "jsonl"):
        file = place / CURRENT / f"members.{form}"
        if not file.is_file():
            continue
        found = True
        text = _without(file.read_bytes().decode(), form, gone)
        sums = (place / CURRENT / SUMS).read_text().splitlines()
        digest = hashlib.sha256(text.encode()).hexdigest()
        named = [f"{digest}  {file.name}" if one.endswith(file.name) else one for one in sums]
        (place / CURRENT / f"{SUMS}.hmac").unlink(missing_ok=True)
        _replace(file, text)
        _replace(place / CURRENT / SUMS, "".join(f"{line}\n" for line in named))
    return found


def _without(text: str, form: str, gone: Collection[str]) -> str:
    if form == "jsonl":
        lines = text.splitlines(keepends=True)
        return "".join(line for line in lines if json.loads(line)[ID] not in gone)
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerows(row for row in csv.reader(io.StringIO(text, newline="")) if row[0] not in gone)
    return out.getvalue()


def _replace(file: Path, text: str) -> None:
    new = file.with_name(f".{file.name}")
    new.unlink(missing_ok=True)
    _write_file(new, text.encode())
    os.replace(new, file)


def _clear(place: Path) -> None:
    """Delete what a killed delivery or the one before left: only what readers see stays."""
    current = place / CURRENT
    kept = os.readlink(current) if current.is_symlink() else None
    for path in place.glob("batch-*"):
        if path.name != kept:
            shutil.rmtree(path)


def _write_file(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
