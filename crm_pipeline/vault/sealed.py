"""Sealed files: an archive copy encrypted with a key of its own, in chunks, bound to what it is.

Layout: ``MAGIC``; the file's key, wrapped by the master key; then chunks. Each chunk is encrypted
with AES-GCM under a nonce made of its number and bound to whether it is the last, so that none can
be left out, moved or taken from another file. The first chunk is a header (JSON): the lines that
were taken out of it because they named somebody who was forgotten.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crm_pipeline.vault.keys import KEY_BYTES, Keys

MAGIC = b"CRMSEALED1\n"
SUFFIX = ".sealed"
CHUNK_BYTES = 1 << 20
_NONCE_BYTES = 12
_TAG_BYTES = 16
_WRAPPED_BYTES = _NONCE_BYTES + KEY_BYTES + _TAG_BYTES


class BrokenSealError(Exception):
    """The file is damaged, is not what its name says, or was sealed with another key."""


@dataclass(frozen=True)
class Header:
    """What a sealed file says of itself: the lines (of its content) that were taken out."""

    erased: tuple[int, ...] = ()


def seal(keys: Keys, plain: Path, target: Path, label: str, erased: Sequence[int] = ()) -> None:
    """Write ``plain`` to ``target``, encrypted; ``label`` says what it is."""
    data_key, nonce = os.urandom(KEY_BYTES), os.urandom(_NONCE_BYTES)
    bound = label.encode()
    cipher = AESGCM(data_key)
    with plain.open("rb") as source, target.open("wb") as out:
        out.write(MAGIC + nonce + keys.files.encrypt(nonce, data_key, bound))
        header = json.dumps({"erased": list(erased)}).encode()
        _write(out, cipher, 0, header, bound, is_last=False)
        number, chunk = 1, source.read(CHUNK_BYTES)
        while True:
            following = source.read(CHUNK_BYTES)
            _write(out, cipher, number, chunk, bound, is_last=not following)
            if not following:
                return
            number, chunk = number + 1, following


def _write(
    out: BinaryIO, cipher: AESGCM, number: int, data: bytes, bound: bytes, *, is_last: bool
) -> None:
    sealed = cipher.encrypt(number.to_bytes(_NONCE_BYTES, "big"), data, _bound(bound, is_last))
    out.write(len(sealed).to_bytes(4, "big") + sealed)


def _bound(bound: bytes, is_last: bool) -> bytes:
    return bound + (b"\0last" if is_last else b"\0more")


def header_of(keys: Keys, file: Path, label: str) -> Header:
    """Return what a sealed file says of itself.

    Raises:
        BrokenSealError: It cannot be read.
    """
    with file.open("rb") as source:
        return _header(next(_chunks(keys, source, label)))


def unseal(keys: Keys, file: Path, target: Path, label: str) -> Header:
    """Write what a sealed file holds to ``target``.

    Raises:
        BrokenSealError: It cannot be read to its end.
    """
    with file.open("rb") as source, target.open("wb") as out:
        chunks = _chunks(keys, source, label)
        header = _header(next(chunks))
        for chunk in chunks:
            out.write(chunk)
    return header


def _header(chunk: bytes) -> Header:
    return Header(tuple(int(line) for line in json.loads(chunk)["erased"]))


def _chunks(keys: Keys, source: BinaryIO, label: str) -> Iterator[bytes]:
    bound = label.encode()
    head = source.read(len(MAGIC) + _WRAPPED_BYTES)
    wrapped = head[len(MAGIC) :]
    if not head.startswith(MAGIC) or len(wrapped) != _WRAPPED_BYTES:
        raise BrokenSealError("it does not begin as a sealed file does")
    try:
        nonce, key = wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:]
        cipher = AESGCM(keys.files.decrypt(nonce, key, bound))
        number, is_last = 0, False
        while not is_last:
            size = int.from_bytes(source.read(4), "big")
            if size > CHUNK_BYTES + _TAG_BYTES and number:
                raise BrokenSealError("a chunk is too long")
            sealed = source.read(size)
            nonce = number.to_bytes(_NONCE_BYTES, "big")
            # the last one is known by the end of the file, and must have been written as such
            is_last = source.peek(1) == b""  # type: ignore[attr-defined]
            yield cipher.decrypt(nonce, sealed, _bound(bound, is_last))
            number += 1
    except InvalidTag:
        raise BrokenSealError("it is damaged, or was sealed with another key") from None
