"""Tokens: what stands for a personal value where it must be joined by, and cannot be read.

A token is the first half of HMAC-SHA256 of the normalised value, in hexadecimal, under a key made
from the master key: so one e-mail address has one token in every source of a home, and nobody
without the key can tell whose it is, nor find out by trying.
"""

from __future__ import annotations

import hmac
import unicodedata
from collections.abc import Iterable

from crm_pipeline.vault.phones import e164

_TOKEN_BYTES = 16


def normalised(kind: str, text: str, country: str | None) -> str | None:
    """Return a value written one way; ``None`` where it says nothing.

    Args:
        kind: ``email`` (trimmed, NFKC, lower case), ``phone`` (E.164) or ``text`` (trimmed, NFKC,
            case-folded).
        text: The value.
        country: Of phone numbers without a country code.
    """
    if kind == "phone":
        assert country is not None
        return e164(text, country)
    plain = unicodedata.normalize("NFKC", text).strip()
    return (plain.lower() if kind == "email" else plain.casefold()) or None


def token(key: bytes, kind: str, text: str, country: str | None = None) -> str | None:
    """Return a value's token; ``None`` where the value says nothing, see ``normalised``."""
    plain = normalised(kind, text, country)
    if plain is None:
        return None
    return hmac.digest(key, f"{kind}\0{plain}".encode(), "sha256")[:_TOKEN_BYTES].hex()


def tokens(
    key: bytes, kind: str, texts: Iterable[str | None], country: str | None = None
) -> list[str | None]:
    """Return the token of each of some values, in order."""
    return [None if text is None else token(key, kind, text, country) for text in texts]
