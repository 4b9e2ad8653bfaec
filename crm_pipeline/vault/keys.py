"""The master key and what is made from it.

The master key is ``CRM_MASTER_KEY``, or the file ``master.key`` in the home, which the first run
that needs it creates for its owner alone. Nothing else in the home holds it, no backup either: with
it every value of the vault can be read, without it none.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from crm_pipeline.errors import UserError

KEY_FILE = "master.key"
KEY_BYTES = 32
PERSON_BYTES = 16
_MAKE_ONE = "make one with `openssl rand -base64 32`"


@dataclass(frozen=True)
class Keys:
    """A master key's keys, one a purpose (HKDF-SHA256), so that none can stand for another."""

    master: bytes

    def _derived(self, purpose: str) -> bytes:
        kdf = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=f"crm/{purpose}".encode())
        return kdf.derive(self.master)

    @cached_property
    def token(self) -> bytes:
        """The key of tokens."""
        return self._derived("token")

    @cached_property
    def _person(self) -> bytes:
        return self._derived("person")

    @cached_property
    def wrapping(self) -> AESGCM:
        """The cipher that wraps the keys of persons."""
        return AESGCM(self._derived("wrapping"))

    @cached_property
    def files(self) -> AESGCM:
        """The cipher that wraps the keys of archived files."""
        return AESGCM(self._derived("files"))

    @cached_property
    def activation(self) -> bytes:
        """The key of the names that destinations get, and of what they were sent."""
        return self._derived("activation")

    @cached_property
    def proof(self) -> bytes:
        """What a vault keeps to know its key by."""
        return self._derived("proof")

    def identity(self, kind: str, key: str) -> bytes:
        """Return the keyed hash of a customer's, an order's or another entity's key.

        It is what the vault and the tombstones call them by.
        """
        digest = hmac.digest(self._person, f"{kind}\0{key}".encode(), "sha256")
        return digest[:PERSON_BYTES]

    @property
    def text(self) -> str:
        """The master key as ``CRM_MASTER_KEY`` has it."""
        return base64.b64encode(self.master).decode()


def parse_key(text: str, where: str) -> Keys:
    """Return the keys of a master key written as base64 or hexadecimal.

    Raises:
        UserError: It is not 32 bytes; the message does not repeat it.
    """
    plain = text.strip()
    for read in (bytes.fromhex, lambda t: base64.b64decode(t, validate=True)):
        try:
            master = read(plain)
        except (ValueError, binascii.Error):
            continue
        if len(master) == KEY_BYTES:
            return Keys(master)
    raise UserError(f"{where} is no key of {KEY_BYTES} bytes in base64: {_MAKE_ONE}.")


def key_file_fault(file: Path) -> str | None:
    """Return what is wrong with a key file's permissions, or ``None``."""
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        return f"{file} can be read by others (mode {mode:04o})"
    return None


def find_keys(home: Path, given: str | None, *, creates: bool) -> Keys:
    """Return the home's keys.

    Args:
        home: ``$CRM_HOME``.
        given: ``CRM_MASTER_KEY``, which goes before the key file.
        creates: Whether a key file is made where there is none.

    Raises:
        UserError: There is no key, or it may have been read by others.
    """
    file = home / KEY_FILE
    if given:
        return parse_key(given, "CRM_MASTER_KEY")
    if not file.is_file():
        if not creates:
            raise UserError(
                f"{file} is not there and CRM_MASTER_KEY is not set, but the personal data of "
                "this home is encrypted with a key: put the key back from where you keep it. "
                "Nothing was changed."
            )
        _create(file)
    if fault := key_file_fault(file):
        raise UserError(f"{fault}: `chmod 600 {file}`, and think about who may have read it.")
    try:
        return parse_key(file.read_text(encoding="ascii"), str(file))
    except (OSError, UnicodeDecodeError):
        raise UserError(
            f"{file} cannot be read: mend its permissions or put the key back."
        ) from None


def _create(file: Path) -> None:
    """Write a new key file, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
        handle.flush()
        os.fsync(handle.fileno())
    # a link fails where somebody was faster: a key is never replaced
    os.link(temporary, file)
    temporary.unlink()
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
