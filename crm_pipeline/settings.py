"""Every setting of the pipeline, read from the environment (and ``.env``) in this one place.

Nothing else in the project reads ``os.environ``. An unknown or malformed setting raises with the
remedy; there is no silent fallback. Names and meanings: ``docs/operations.md``.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from crm_pipeline.cron import is_cron
from crm_pipeline.errors import UserError

CHECKOUT = Path(__file__).resolve().parent.parent
"""The folder that holds ``dbt_project/`` and ``expectations/``: the checkout."""

DEMO_COMPANY = ("demo", "demo_desk", "demo_marketing", "demo_sales")
"""The demo company's sources, which are enabled where ``CRM_SOURCES`` says nothing: its shop, help
desk, marketing and sales."""

KNOWN = frozenset(
    {
        "CRM_HOME",
        "CRM_SOURCES",
        "CRM_AS_OF",
        "CRM_TIMEZONE",
        "CRM_CURRENCY",
        "CRM_HORIZON_DAYS",
        "CRM_CLV_HORIZON_DAYS",
        "CRM_DISCOUNT_RATE",
        "CRM_KEEP_HISTORY_DAYS",
        "CRM_ALERT_WEBHOOK",
        "CRM_LANGUAGE",
        "CRM_MASTER_KEY",
        "CRM_MEMORY_LIMIT",
        "CRM_PORT",
        "CRM_REFRESH_CRON",
        "CRM_TRAINING_CRON",
        "CRM_SHARED_DATA",
        "CRM_WAREHOUSE",
        "CRM_SCRATCH",
    }
)
"""``CRM_SHARED_DATA`` is for the tests; the last two are set by us, for dbt."""


_ENDPOINT = re.compile(r"CRM_DESTINATION_([A-Z0-9_]+)_(URL|SECRET)")
"""Settings of the destinations that ``dbt_project.yml`` names, one or two each."""

HIGHEST_PORT = 65_535


@dataclass(frozen=True)
class Endpoint:
    """Where a destination of audiences is reached, and the secret that is shared with it.

    Attributes:
        url: Of a destination that is reached by HTTP; ``None`` where it is not set.
        secret: Sent as a bearer token; for files the key of their signature.
    """

    url: str | None = None
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Settings:
    """One company's settings. Days are calendar days, the rate is a year's."""

    home: Path
    sources: tuple[str, ...]
    as_of: date | None
    time_zone: str
    currency: str | None
    horizon_days: int
    clv_horizon_days: int
    discount_rate: float
    keep_history_days: int
    # left out where settings are printed
    master_key: str | None = field(repr=False)
    alert_webhook: str | None
    language: str
    memory_limit: str
    port: int
    refresh_cron: str
    training_cron: str
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)

    @property
    def warehouse(self) -> Path:
        """The DuckDB file that only the pipeline opens."""
        return self.home / "warehouse.duckdb"

    @property
    def inbox(self) -> Path:
        """Where files wait: ``inbox/<source>/``."""
        return self.home / "inbox"

    @property
    def published(self) -> Path:
        """What everybody else reads."""
        return self.home / "published"

    @property
    def scratch(self) -> Path:
        """Temporary files; anything in it may be deleted while no run is on."""
        return self.home / "tmp"

    @property
    def dagster_home(self) -> Path:
        """Dagster's own state."""
        return self.home / "dagster"


def read_dotenv(path: Path) -> dict[str, str]:
    """Return the ``KEY=value`` lines of a ``.env`` file; blank lines and comments are skipped."""
    values: dict[str, str] = {}
    if not path.is_file():
        return values
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{path.name} is not UTF-8 text: save it as such, or delete it.") from None
    except OSError as error:
        raise UserError(
            f"{path.name} cannot be read ({error.strerror}): mend its permissions, or delete it."
        ) from None
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, separator, value = text.partition("=")
        if not separator:
            raise UserError(f".env line {number} is not KEY=value: write it so, or delete it.")
        values[name.removeprefix("export ").strip()] = value.strip().strip("'\"")
    return values


def _number(environment: Mapping[str, str], name: str, default: str, kind: type) -> int | float:
    text = environment.get(name, default)
    try:
        value = kind(text)
    except ValueError:
        raise UserError(f"{name}={text!r} is not a number; unset it for {default}.") from None
    if not 0 <= value < float("inf") or (kind is int and value == 0):
        raise UserError(f"{name}={text!r} must be above zero; unset it for {default}.")
    return value


def _whole(environment: Mapping[str, str], name: str, default: str) -> int:
    text = environment.get(name, default)
    if not re.fullmatch(r"\d{1,6}", text):
        raise UserError(f"{name}={text!r} must be a whole number from 0; unset it for {default}.")
    return int(text)


_FORMS = {
    "CRM_CURRENCY": (r"[A-Z]{3}", "a currency's three letters, as EUR"),
    "CRM_MEMORY_LIMIT": (r"\d+(\.\d+)? ?[KMGT]i?B", "a size, as 4GB"),
    "CRM_ALERT_WEBHOOK": (r"https?://[^\s/]+\S*", "an address, as https://chat.example.com/hook"),
}


def _in_form(values: Mapping[str, str], name: str, default: str | None = None) -> str | None:
    text = values.get(name, default)
    pattern, form = _FORMS[name]
    if text is not None and not re.fullmatch(pattern, text):
        raise UserError(f"{name}={text!r} must be {form}; or unset it.")
    return text


def _cron(values: Mapping[str, str], name: str, default: str) -> str:
    text = values.get(name, default)
    if not is_cron(text):
        raise UserError(f"{name}={text!r} is no cron schedule; write it as {default!r}.")
    return text


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UserError(
            f"CRM_TIMEZONE={name!r} is no time zone; use a name such as Europe/Berlin or UTC."
        ) from None
    return name


def parse_date(text: str, name: str) -> date:
    """Return an ISO date, or raise naming the setting or option it came from."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UserError(f"{name}={text!r} is not a date; write it as 2026-11-22.") from None


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read all settings from ``environment`` (default: the process's, over ``.env``).

    Raises:
        UserError: A setting is unknown, malformed or out of range; the message says which.
    """
    if environment is None:
        environment = {**read_dotenv(CHECKOUT / ".env"), **os.environ}
    known = KNOWN | {name for name in environment if _ENDPOINT.fullmatch(name)}
    unknown = {name for name in environment if name.startswith("CRM_")} - known
    if unknown:
        raise UserError(
            f"unknown setting {', '.join(sorted(unknown))}; known are {', '.join(sorted(KNOWN))} "
            "and CRM_DESTINATION_<NAME>_URL and _SECRET."
        )
    values = {name: value for name, value in environment.items() if value != ""}
    named = values.get("CRM_SOURCES", ",".join(DEMO_COMPANY))
    sources = tuple(dict.fromkeys(source.strip() for source in named.split(",")))
    if "" in sources:
        raise UserError("CRM_SOURCES has an empty name; write names with commas between, no more.")
    as_of = values.get("CRM_AS_OF")
    language = values.get("CRM_LANGUAGE", "en")
    if language not in ("en", "zh"):
        raise UserError(f"CRM_LANGUAGE={language!r} is not spoken here; use en or zh.")
    port = int(_number(values, "CRM_PORT", "3000", int))
    if port > HIGHEST_PORT:
        raise UserError(f"CRM_PORT={port} is no port; use one up to {HIGHEST_PORT}.")
    return Settings(
        home=Path(values.get("CRM_HOME", CHECKOUT / ".crm")).expanduser().absolute(),
        sources=sources,
        as_of=parse_date(as_of, "CRM_AS_OF") if as_of else None,
        time_zone=_zone(values.get("CRM_TIMEZONE", "UTC")),
        currency=_in_form(values, "CRM_CURRENCY"),
        horizon_days=int(_number(values, "CRM_HORIZON_DAYS", "90", int)),
        clv_horizon_days=int(_number(values, "CRM_CLV_HORIZON_DAYS", "365", int)),
        discount_rate=float(_number(values, "CRM_DISCOUNT_RATE", "0.10", float)),
        master_key=values.get("CRM_MASTER_KEY"),
        keep_history_days=_whole(values, "CRM_KEEP_HISTORY_DAYS", "400"),
        alert_webhook=_in_form(values, "CRM_ALERT_WEBHOOK"),
        language=language,
        memory_limit=str(_in_form(values, "CRM_MEMORY_LIMIT", "2GB")),
        port=port,
        refresh_cron=_cron(values, "CRM_REFRESH_CRON", "0 5 * * *"),
        training_cron=_cron(values, "CRM_TRAINING_CRON", "0 3 * * 0"),
        endpoints=_endpoints(values),
    )


def _endpoints(values: Mapping[str, str]) -> dict[str, Endpoint]:
    """Return the endpoints of destinations, by the destination's name."""
    found: dict[str, Endpoint] = {}
    for name, value in sorted(values.items()):
        match = _ENDPOINT.fullmatch(name)
        if not match:
            continue
        destination, what = match[1].lower(), match[2].lower()
        if what == "url":
            _check_url(name, value)
        found[destination] = replace(found.get(destination, Endpoint()), **{what: value})
    return found


def _check_url(name: str, value: str) -> None:
    """Refuse an address by which personal data would cross a network in clear.

    The message does not repeat it: it may hold a key.
    """
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise UserError(f"{name} is no address; write it as https://mail.example.com/x.") from None
    is_local = host in ("localhost", "127.0.0.1", "::1")
    if not host or parts.scheme not in ("http", "https"):
        raise UserError(f"{name} is no address; write it as https://mail.example.com/x.")
    if parts.username or parts.password:
        raise UserError(f"{name} holds a password; put it into {name.removesuffix('URL')}SECRET.")
    if parts.scheme == "http" and not is_local:
        raise UserError(f"{name} is not https: personal data leave encrypted only; use https.")


def prepare_home(settings: Settings) -> None:
    """Create the folders of ``$CRM_HOME`` and put Dagster's instance settings in place.

    Raises:
        UserError: The folder cannot be written.
    """
    folders = [settings.dagster_home, settings.scratch, settings.published]
    folders += [settings.inbox / source for source in settings.sources]
    folders += [settings.home / "archive", settings.home / "mlflow"]
    try:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(CHECKOUT / "dagster.yaml", settings.dagster_home / "dagster.yaml")
        probe = settings.home / ".writable"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"CRM_HOME={settings.home} cannot be written ({error.strerror}); "
            "set CRM_HOME to a folder that you may write."
        ) from None


def set_environment(values: Mapping[str, str]) -> Settings:
    """Set settings for the rest of this process and those it starts; return them all."""
    os.environ.update(values)
    return load_settings()


def no_telemetry() -> None:
    """Tell libraries that count their users by an agreed variable to leave it."""
    os.environ["DO_NOT_TRACK"] = "1"


def export_environment(
    settings: Settings, environment: MutableMapping[str, str] | None = None
) -> None:
    """Hand the settings to the tools that read the environment: Dagster, dbt, MLflow, GX."""
    target = os.environ if environment is None else environment
    target.update(
        {
            "CRM_HOME": str(settings.home),
            "CRM_SOURCES": ",".join(settings.sources),
            "CRM_TIMEZONE": settings.time_zone,
            "CRM_CURRENCY": settings.currency or "",
            "CRM_WAREHOUSE": str(settings.warehouse),
            "CRM_SCRATCH": str(settings.scratch),
            "CRM_MEMORY_LIMIT": settings.memory_limit,
            "DAGSTER_HOME": str(settings.dagster_home),
            "DAGSTER_DISABLE_TELEMETRY": "true",
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "GX_ANALYTICS_ENABLED": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
            "MLFLOW_LOGGING_LEVEL": "ERROR",
            "MPLCONFIGDIR": str(settings.scratch / "matplotlib"),
        }
    )
