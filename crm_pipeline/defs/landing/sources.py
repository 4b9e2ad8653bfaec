"""The contracts of the raw data, read out of dbt's manifest and checked.

Belongs here: what a sources file may say, and the message when it says something else. What is
done with a contract (reading files, writing tables) belongs in the modules beside this one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from crm_pipeline.defs.landing.contracts import (
    CONTACTS,
    TOKENS,
    ColumnContract,
    SourceContract,
    TableContract,
)
from crm_pipeline.defs.landing.source_settings import SettingsReader
from crm_pipeline.vault.phones import COUNTRIES

FORMATS = ("csv", "parquet", "jsonl")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = frozenset({"_digest", "_file", "_line"})
_TYPES = re.compile(
    r"(varchar|text|string|bigint|integer|int|double|float|boolean|bool|date|timestamp"
    r"|(?:decimal|numeric)\(\s*(\d+)\s*,\s*(\d+)\s*\))"
)
_SYNONYMS = {
    "text": "varchar",
    "string": "varchar",
    "int": "integer",
    "float": "double",
    "bool": "boolean",
}
_TABLE_SETTINGS = frozenset(
    {
        "files", "format", "delimiter", "quote", "encoding", "fallback_encoding", "header",
        "null_tokens", "date_format", "timestamp_format", "key", "version", "event_time",
        "expected_every_days", "max_quarantine_rate", "control_total", "ignored_columns",
    }
)  # fmt: skip
_SOURCE_SETTINGS = frozenset({"namespace", "time_zone", "currency", "as_of", "country"})
_COLUMN_SETTINGS = frozenset(
    {
        "header", "required", "pii", "minimum", "maximum", "unit", "identifies", "identity",
        "names", "token", "text", "contact", "happens_at", "until_then",
    }
)  # fmt: skip
_EVENT_RANGE = ("1900-01-01", "2199-12-31 23:59:59.999999")
_CALENDAR_RANGE = ("0001-01-01", "9999-12-31 23:59:59.999999")


def sources_from_manifest(manifest: Mapping[str, Any]) -> dict[str, SourceContract]:
    """Return the contract of every raw source, by its name.

    Args:
        manifest: dbt's ``manifest.json``, parsed. Sources whose schema is not ``raw`` are
            somebody else's tables and are skipped.

    Raises:
        UserError: A contract says something that landing cannot follow.
    """
    nodes: dict[str, list[Mapping[str, Any]]] = {}
    for node in manifest.get("sources", {}).values():
        if node["schema"] == "raw":
            nodes.setdefault(node["source_name"], []).append(node)
    return {
        name: _source(
            name,
            sorted(nodes[name], key=lambda node: str(node["name"])),
            _entities(manifest, name),
        )
        for name in sorted(nodes)
    }


def _entities(manifest: Mapping[str, Any], source: str) -> tuple[str, ...]:
    """Return the canonical entities that a source has staging models for, sorted."""
    prefix = f"stg_{source}__"
    names = (str(node["name"]) for node in manifest.get("nodes", {}).values())
    return tuple(sorted(name.removeprefix(prefix) for name in names if name.startswith(prefix)))


def _source(name: str, nodes: list[Mapping[str, Any]], entities: tuple[str, ...]) -> SourceContract:
    meta = nodes[0].get("source_meta") or {}
    reader = SettingsReader(
        f"source {name} ({nodes[0]['original_file_path']})",
        {key: meta[key] for key in meta if key in _SOURCE_SETTINGS or key not in _TABLE_SETTINGS},
        _SOURCE_SETTINGS,
    )
    if not _NAME.fullmatch(name):
        raise reader.error(f"the name {name!r}", "use letters, digits and _")
    time_zone = reader.text("time_zone") or "UTC"
    try:
        ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError) as fault:
        raise reader.error(
            f"time_zone {time_zone!r} is unknown", "use a name such as Europe/London"
        ) from fault
    as_of = meta.get("as_of")
    if as_of is not None:
        try:
            as_of = date.fromisoformat(str(as_of)[:10])
        except ValueError as fault:
            raise reader.error(f"as_of is {as_of!r}", "write a date as YYYY-MM-DD") from fault
    namespace, country = reader.text("namespace") or name, reader.text("country")
    if country is not None and country not in COUNTRIES:
        raise reader.error(
            f"country is {country!r}", f"write one of {', '.join(sorted(COUNTRIES))}"
        )
    return SourceContract(
        name=name,
        namespace=namespace,
        time_zone=time_zone,
        currency=_currency(reader),
        as_of=as_of,
        tables=tuple(
            replace(_table(node, time_zone, country), namespace=namespace) for node in nodes
        ),
        entities=entities,
    )


def _currency(reader: SettingsReader) -> str | None:
    currency = reader.text("currency")
    if currency is not None and not re.fullmatch("[A-Z]{3}", currency):
        raise reader.error(f"currency is {currency!r}", "write its three letters, as EUR")
    return currency


def _table(node: Mapping[str, Any], time_zone: str, country: str | None) -> TableContract:
    source, name = str(node["source_name"]), str(node["name"])
    meta = (node.get("config") or {}).get("meta") or node.get("meta") or {}
    reader = SettingsReader(
        f"source table {source}.{name} ({node['original_file_path']})",
        meta,
        _TABLE_SETTINGS | _SOURCE_SETTINGS,
    )
    identifier = str(node.get("identifier") or name)
    if not _NAME.fullmatch(name):
        raise reader.error(f"the name {name!r}", "use letters, digits and _")
    if identifier != f"{source}__{name}":
        raise reader.error(f"identifier is {identifier!r}", f"write {source}__{name}")
    file_format = reader.text("format", "csv")
    if file_format not in FORMATS:
        raise reader.error(f"format is {file_format!r}", f"use one of {', '.join(FORMATS)}")
    files = reader.texts("files")
    if not files:
        raise reader.error("files is missing", 'write patterns such as ["orders*.csv"]')
    key = reader.texts("key")
    version, event_time = reader.text("version"), reader.text("event_time")
    columns = _columns(reader, node, key, event_time)
    if country is None and any(column.token == "phone" for column in columns):
        raise reader.error(
            "a column has token: phone", "say under the source's meta of which country numbers "
            "without a country code are, such as country: DE"
        )  # fmt: skip
    named = [("key", part) for part in key]
    named += [("version", version)] if version else []
    named += [("event_time", event_time)] if event_time else []
    for setting, column_name in named:
        column = next((item for item in columns if item.name == column_name), None)
        if column is None:
            raise reader.error(f"{setting} names no column: {column_name}", "name a declared one")
        if column.is_direct and not (column.token and setting == "key"):
            raise reader.error(
                f"{setting} {column_name} is personal (pii: direct) and never stored",
                "name another column"
                + (", or let a token stand for it (token: email)" if setting == "key" else ""),
            )
        if setting == "event_time" and not column.is_temporal:
            raise reader.error(
                f"event_time {column_name} is {column.data_type}", "make it a date or a timestamp"
            )
    _check_later(reader, columns, {*key, version, event_time})
    encoding = reader.encoding("encoding", "utf-8", also=("auto",))
    delimiters, quote = reader.delimiters(), reader.quote()
    null_tokens = reader.texts("null_tokens", ("",) if file_format == "csv" else ())
    for token in null_tokens:
        if any(part and part in token for part in (*delimiters, quote, "\n", "\r")):
            raise reader.error(
                f"null_tokens holds {token!r}", "a token has no delimiter, quote or line end"
            )
    return TableContract(
        source=source,
        name=name,
        identifier=identifier,
        declared_in=str(node["original_file_path"]),
        time_zone=time_zone,
        files=files,
        format=file_format,
        delimiter=delimiters[0],
        quote=quote,
        encoding=encoding,
        fallback_encoding=reader.encoding("fallback_encoding", "cp1252"),
        header=reader.flag("header", True),
        null_tokens=null_tokens,
        date_formats=reader.texts("date_format"),
        timestamp_formats=reader.texts("timestamp_format"),
        key=tuple(
            stored.name for part in key for c in columns if c.name == part for stored in c.stored
        ),
        version=version,
        event_time=event_time,
        expected_every_days=reader.number("expected_every_days", 0, 36500),
        max_quarantine_rate=reader.number("max_quarantine_rate", 0, 1),
        control_total=reader.text("control_total"),
        columns=columns,
        ignored_columns=reader.texts("ignored_columns"),
        delimiters=tuple(str(one) for one in delimiters) if len(delimiters) > 1 else (),
        country=country,
    )


def _columns(
    reader: SettingsReader, node: Mapping[str, Any], key: tuple[str, ...], event_time: str | None
) -> tuple[ColumnContract, ...]:
    columns = tuple(
        _column(reader.where, column, str(column["name"]) in key, column["name"] == event_time)
        for column in node["columns"].values()
    )
    kinds = [kind for column in columns for kind in column.identifies]
    if twice := sorted({kind for kind in kinds if kinds.count(kind) > 1}):
        raise reader.error(
            f"several columns identify {', '.join(twice)}", "mark the one that names the row's own"
        )
    if not any(column.stored for column in columns):
        raise reader.error("it declares no column to store", "list its columns with data_type")
    folded = [column.name.lower() for column in columns]
    # what stands in a direct identifier's place must not take another column's name
    folded += [s.name.lower() for c in columns if c.is_direct for s in c.stored]
    if twice := sorted({name for name in folded if folded.count(name) > 1}):
        raise reader.error(f"column {', '.join(twice)} is declared twice", "declare it once")
    return columns


def _check_later(
    reader: SettingsReader, columns: tuple[ColumnContract, ...], fixed: set[str | None]
) -> None:
    """Stop where a column ``happens_at`` what is no time, or names the row, which stays."""
    times = {column.name for column in columns if column.is_temporal and not column.is_direct}
    for column in columns:
        if column.happens_at is None and column.until_then is not None:
            raise reader.error(f"column {column.name} has until_then", "write happens_at with it")
        if column.happens_at is None:
            continue
        if column.happens_at not in times:
            raise reader.error(
                f"column {column.name}: happens_at names no time: {column.happens_at}",
                "name a declared date or timestamp",
            )
        if column.name in fixed or column.identifies or column.is_direct:
            raise reader.error(
                f"column {column.name} has happens_at",
                "leave it out where a column is key, version, event_time or personal, or "
                "identifies something: it says which row it is, at any time",
            )


def _column(
    where: str, node: Mapping[str, Any], is_key: bool, is_event_time: bool
) -> ColumnContract:
    name = str(node["name"])
    meta = (node.get("config") or {}).get("meta") or node.get("meta") or {}
    reader = SettingsReader(f"{where}, column {name}", meta, _COLUMN_SETTINGS)
    if not _NAME.fullmatch(name) or name.lower() in _RESERVED:
        raise reader.error(
            f"the name {name!r}", "use letters, digits and _, and none of _digest, _file, _line"
        )
    declared = str(node.get("data_type") or "").strip().lower()
    match = _TYPES.fullmatch(declared)
    if not match:
        raise reader.error(
            f"data_type is {declared or 'missing'!r}",
            "use varchar, bigint, integer, decimal(p,s), double, boolean, date or timestamp",
        )
    data_type = _SYNONYMS.get(declared, declared)
    if match.group(2):
        precision, scale = int(match.group(2)), int(match.group(3))
        if not 1 <= precision <= 38 or scale > precision:
            raise reader.error(f"data_type is {declared}", "a decimal has at most 38 digits")
        data_type = f"decimal({precision},{scale})"
    low, high = (_bound(reader, data_type, bound) for bound in ("minimum", "maximum"))
    if data_type in ("date", "timestamp"):
        default_low, default_high = _EVENT_RANGE if is_event_time else _CALENDAR_RANGE
        low, high = low or default_low, high or default_high
    pii, header = reader.text("pii"), reader.text("header")
    token, text = _in_its_place(reader, data_type)
    contact, until_then = reader.text("contact"), reader.text("until_then")
    if until_then is not None and not (
        data_type == "varchar" or (data_type == "boolean" and until_then in ("true", "false"))
    ):
        raise reader.error(
            f"until_then is {until_then!r} on a {data_type}",
            'write a text, or "true" or "false" on a boolean; else leave it out: it is null then',
        )
    if contact is not None and (contact not in CONTACTS or pii != "direct"):
        raise reader.error(
            f"contact is {contact!r}", f"on a column with pii: direct use {', '.join(CONTACTS)}"
        )
    required = reader.flag("required", False) or is_key
    return ColumnContract(
        name=name,
        data_type=data_type,
        header=(name if header is None else header).strip(),
        required=required,
        pii=pii if pii not in (None, "", "none") else None,
        minimum=low,
        maximum=high,
        identifies=reader.texts("identifies"),
        names=_named(reader, is_required=required),
        identity=reader.text("identity"),
        token=token,
        text=text,
        contact=contact,
        happens_at=reader.text("happens_at"),
        until_then=until_then,
    )


def _named(reader: SettingsReader, *, is_required: bool) -> str | None:
    """Return the kind of entity that a column names beside the row's own."""
    names = reader.text("names")
    if names is None:
        return None
    if names != "customer":
        raise reader.error(f"names is {names!r}", "write customer")
    if is_required or reader.texts("identifies") or reader.text("pii") == "direct":
        raise reader.error(
            "names: customer",
            "leave it out where the column is required, key or personal, or says with identifies "
            "whose the row is: the value goes once the customer is forgotten, and the row stays",
        )
    return names


def _in_its_place(reader: SettingsReader, data_type: str) -> tuple[str | None, str | None]:
    """Return what stands in a direct identifier's place: its kind of token, or its scores."""
    token, text = reader.text("token"), reader.text("text")
    if token not in (None, *TOKENS):
        raise reader.error(f"token is {token!r}", f"use one of {', '.join(TOKENS)}")
    if text not in (None, "scores"):
        raise reader.error(f"text is {text!r}", "write scores")
    is_direct = reader.text("pii") == "direct"
    for name, value in (("token", token), ("text", text)):
        if value and not is_direct:
            raise reader.error(f"{name}: {value} without pii: direct", "write both, or neither")
        if value and data_type != "varchar":
            raise reader.error(f"{name}: {value} on a {data_type}", "make it a varchar")
    if token and text:
        raise reader.error("token and text", "write one of them")
    if is_direct and not token:
        if kind := reader.text("identifies"):
            raise reader.error(
                f"identifies: {kind} on a column that is never stored",
                "let a token stand for it (token: email, phone or text)",
            )
    if token and reader.text("identity"):
        raise reader.error("identity on a token", "leave it out: a value is normalised first")
    return token, text


def _bound(reader: SettingsReader, data_type: str, name: str) -> str | None:
    value = reader.meta.get(name)
    if value is None:
        return None
    if data_type in ("date", "timestamp"):
        try:
            date.fromisoformat(str(value)[:10])
        except ValueError as fault:
            raise reader.error(
                f"{name} is {value!r}", "write a date as YYYY-MM-DD, in quotes"
            ) from fault
        return str(value)
    if data_type in ("varchar", "boolean"):
        raise reader.error(f"{name} on a {data_type}", "only numbers and dates have a range")
    number = reader.number(name, float("-inf"), float("inf"))
    return None if number is None else str(value)
