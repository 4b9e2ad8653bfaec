"""Phone numbers written one way: E.164, by the calling code and trunk prefix of a country.

Strict and small: no range tables, so a number that no exchange would route is taken as it is
written. What cannot be a number of 7 to 15 digits is none.
"""

from __future__ import annotations

import re
import unicodedata

COUNTRIES = {
    "AE": ("971", "0"), "AR": ("54", "0"), "AT": ("43", "0"), "AU": ("61", "0"),
    "BE": ("32", "0"), "BG": ("359", "0"), "BR": ("55", "0"), "CA": ("1", "1"),
    "CH": ("41", "0"), "CL": ("56", ""), "CN": ("86", "0"), "CZ": ("420", ""),
    "DE": ("49", "0"), "DK": ("45", ""), "EE": ("372", ""), "ES": ("34", ""),
    "FI": ("358", "0"), "FR": ("33", "0"), "GB": ("44", "0"), "GR": ("30", ""),
    "HK": ("852", ""), "HR": ("385", "0"), "HU": ("36", "06"), "ID": ("62", "0"),
    "IE": ("353", "0"), "IL": ("972", "0"), "IN": ("91", "0"), "IT": ("39", ""),
    "JP": ("81", "0"), "KR": ("82", "0"), "LT": ("370", "0"), "LU": ("352", ""),
    "LV": ("371", ""), "MX": ("52", ""), "MY": ("60", "0"), "NL": ("31", "0"),
    "NO": ("47", ""), "NZ": ("64", "0"), "PL": ("48", ""), "PT": ("351", ""),
    "RO": ("40", "0"), "RS": ("381", "0"), "SE": ("46", "0"), "SG": ("65", ""),
    "SI": ("386", "0"), "SK": ("421", "0"), "TR": ("90", "0"), "TW": ("886", "0"),
    "UA": ("380", "0"), "US": ("1", "1"), "ZA": ("27", "0"),
}  # fmt: skip
"""ISO 3166 code -> calling code, and what is dialled before a number within the country."""

_EXTENSION = re.compile(r"\s*(?:ext\.?|x|#|extension|durchwahl|转)\s*\d{1,6}\s*$")
_TRUNK_IN_BRACKETS = re.compile(r"\(\s*0\s*\)")
_SIGNS = re.compile(r"[\s().\-/\u2010-\u2015\u2212]")
_FEWEST, _MOST = 7, 15


def e164(text: str, country: str) -> str | None:
    """Return a phone number as ``+<country><number>``; ``None`` where it is none.

    Args:
        text: As somebody wrote it: signs, spaces, full-width digits, ``(0)``, an extension, and
            ``+`` or ``00`` before a country code are understood.
        country: ISO 3166 code of the country of numbers without a country code.
    """
    plain = unicodedata.normalize("NFKC", text).strip().casefold().removeprefix("tel:")
    plain = _EXTENSION.sub("", plain)
    is_foreign = plain.startswith(("+", "00"))
    if is_foreign:
        plain = _TRUNK_IN_BRACKETS.sub("", plain)
    digits = _SIGNS.sub("", plain)
    code, trunk = COUNTRIES[country]
    if digits.startswith("+"):
        digits = digits[1:]
    elif digits.startswith("00"):
        digits = digits[2:]
    else:
        digits = code + digits.removeprefix(trunk)
    if not (digits.isascii() and digits.isdigit() and _FEWEST <= len(digits) <= _MOST):
        return None
    return f"+{digits}"
