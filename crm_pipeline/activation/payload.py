"""What a destination is told of a person: fields of the audience, from its model and the vault.

Hashed fields are as advertising platforms match customers: SHA-256 in hexadecimal of the e-mail
address, trimmed and in lower case (``email_sha256``), and of the telephone number as E.164
(``phone_e164_sha256``, Google) or its digits alone (``phone_digits_sha256``, Meta).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import date

from crm_pipeline.activation.audiences import IDENTIFIERS, Audience


def payload_of(
    audience: Audience, row: Mapping[str, object], values: Mapping[str, str]
) -> dict[str, str | None]:
    """Return the fields of one person, in the audience's order.

    Args:
        audience: The audience.
        row: The person's row of the model, its columns as text.
        values: What the vault says and may be used, by kind.
    """
    fields: dict[str, str | None] = {}
    for name in audience.fields:
        if name not in IDENTIFIERS:
            value = row.get(name)
            fields[name] = None if value is None else str(value)
            continue
        value = values.get(IDENTIFIERS[name])
        fields[name] = None if value is None else _as_field(name, value)
    return fields


def _as_field(name: str, value: str) -> str:
    if not name.endswith("_sha256"):
        return value
    text = value.removeprefix("+") if name == "phone_digits_sha256" else value
    return hashlib.sha256(text.encode()).hexdigest()


def content_of(payload: Mapping[str, str | None]) -> bytes:
    """Return a payload as bytes, equal for equal payloads."""
    return json.dumps(payload, sort_keys=True, ensure_ascii=False).encode()


def is_birthday_near(birth_date: str | None, as_of: date, within_days: int) -> bool:
    """Whether a birthday falls on the day after ``as_of`` or one of the days up to ``within_days``.

    Who was born on 29 February has their birthday on 1 March of other years.
    """
    if birth_date is None:
        return False
    try:
        born = date.fromisoformat(birth_date[:10])
    except ValueError:
        return False
    for year in (as_of.year, as_of.year + 1):
        try:
            day = born.replace(year=year)
        except ValueError:
            day = date(year, 3, 1)
        if 0 < (day - as_of).days <= within_days:
            return True
    return False
