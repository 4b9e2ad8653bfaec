"""What an audience promises in its yaml entry, read out of dbt's manifest and checked.

Belongs here: what an entry may say, and the message when it says something else. The same for the
destinations, which are ``vars.destinations`` of ``dbt_project.yml``. An audience is added with an
SQL file and an entry; nothing here names one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from crm_pipeline.errors import UserError
from crm_pipeline.settings import CHECKOUT

PREFIX = "audience_"
ADVERTISING = "advertising"
NEEDS = {
    "email": ("email",),
    "sms": ("phone",),
    "phone": ("phone",),
    ADVERTISING: ("email", "phone"),
}
"""Channel -> the addresses of which one must be known."""

IDENTIFIERS = {
    "email": "email",
    "phone": "phone",
    "full_name": "full_name",
    "email_sha256": "email",
    "phone_e164_sha256": "phone",
    "phone_digits_sha256": "phone",
}
"""Fields that come from the vault, and the kind of value that each is made of."""

METRICS = ("conversion", "net_amount")
"""What an experiment may be judged by: whether the customer orders, and for how much."""

KINDS = ("csv", "jsonl", "http")
_SETTINGS = frozenset(
    {
        "purpose", "owner", "version", "channel", "consent_purpose", "destinations", "fields",
        "contact_cap", "experiment", "holdout_share", "minimum_size", "largest_drop_rate",
        "outcome", "birthday_within_days",
    }
)  # fmt: skip
_REQUIRED = ("purpose", "owner", "version", "channel", "destinations", "fields", "minimum_size")
_DESTINATION_SETTINGS = {
    "csv": frozenset({"kind"}),
    "jsonl": frozenset({"kind"}),
    "http": frozenset({"kind", "batch_size", "requests_per_minute", "timeout_seconds"}),
}


@dataclass(frozen=True)
class Cap:
    """At most so many contacts in so many days, those of all audiences together."""

    contacts: int
    days: int


@dataclass(frozen=True)
class Outcome:
    """What an experiment is judged by.

    Attributes:
        metric: What is compared: a figure of the customer's orders.
        days: How long after the assignment it counts.
        smallest_effect: The smallest difference worth finding, from which the size is planned.
    """

    metric: str
    days: int
    smallest_effect: float


@dataclass(frozen=True)
class Audience:
    """One audience, as its yaml entry states it.

    Attributes:
        name: The model's name without ``audience_``.
        purpose: What it is for, in a sentence.
        owner: The team that answers for it.
        version: Raised when its meaning changes.
        channel: How people are reached; see ``NEEDS``.
        consent_purpose: What they must have agreed to.
        destinations: Where it may be sent.
        fields: What is sent of a person: ``IDENTIFIERS`` and columns of the model.
        columns: The model's columns.
        cap: How often people may be contacted; ``None`` is no limit.
        experiment: Name of the experiment; ``None`` without a holdout.
        holdout_share: Share of people that is never sent to.
        minimum_size: With fewer members nothing is sent.
        largest_drop_rate: With a greater part of the members gone at once, nothing is sent.
        outcome: What the experiment is judged by.
        birthday_within_days: Send only to those whose birthday is so near; only the vault knows.
    """

    name: str
    purpose: str
    owner: str
    version: int
    channel: str
    consent_purpose: str
    destinations: tuple[str, ...]
    fields: tuple[str, ...]
    columns: tuple[str, ...]
    cap: Cap | None
    experiment: str | None
    holdout_share: float
    minimum_size: int
    largest_drop_rate: float
    outcome: Outcome | None
    birthday_within_days: int | None

    @property
    def model(self) -> str:
        """The dbt model, a table of schema ``marts``."""
        return f"{PREFIX}{self.name}"

    @property
    def is_contact(self) -> bool:
        """Whether who is sent is contacted, rather than shown advertisements."""
        return self.channel != ADVERTISING

    @property
    def own_fields(self) -> tuple[str, ...]:
        """The fields that are columns of the model."""
        return tuple(field for field in self.fields if field not in IDENTIFIERS)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of values that are asked of the vault."""
        kinds = [IDENTIFIERS[field] for field in self.fields if field in IDENTIFIERS]
        if self.birthday_within_days is not None:
            kinds.append("birth_date")
        return tuple(sorted(set(kinds) | set(NEEDS[self.channel])))


@dataclass(frozen=True)
class DestinationSpec:
    """One destination, as ``vars.destinations`` states it."""

    name: str
    kind: str
    batch_size: int = 500
    requests_per_minute: float = 120.0
    timeout_seconds: float = 20.0


def audiences_from_manifest(
    manifest: Mapping[str, Any], known: Mapping[str, DestinationSpec]
) -> dict[str, Audience]:
    """Return every audience by name, sorted.

    Raises:
        UserError: An entry lacks something, or says something that cannot be followed.
    """
    found = {}
    for node in manifest["nodes"].values():
        meta = {**node.get("meta", {}), **node.get("config", {}).get("meta", {})}
        is_model = node["resource_type"] == "model"
        if is_model and ("audience" in meta or node["name"].startswith(PREFIX)):
            audience = _audience(node, meta, known)
            found[audience.name] = audience
    experiments: dict[str, str] = {}
    for name, audience in sorted(found.items()):
        other = experiments.setdefault(audience.experiment or f"none: {name}", name)
        if other != name:
            raise UserError(
                f"the audiences {other} and {name} share the experiment {audience.experiment}: "
                "give each its own."
            )
    return dict(sorted(found.items()))


def declared_destinations() -> dict[str, DestinationSpec]:
    """Return every destination of ``vars.destinations``, by name."""
    file = CHECKOUT / "dbt_project" / "dbt_project.yml"
    said = yaml.safe_load(file.read_text(encoding="utf-8"))["vars"]
    return read_destinations(said.get("destinations") or {})


def read_destinations(stated: Mapping[str, Any]) -> dict[str, DestinationSpec]:
    """Return destinations by name.

    Raises:
        UserError: One is not as it must be.
    """
    found = {}
    for name, said in sorted(stated.items()):
        where = f"destination {name} (vars.destinations in dbt_project.yml)"
        kind = (said or {}).get("kind")
        if kind not in KINDS:
            raise UserError(f"{where}: kind is {kind!r}; write one of {', '.join(KINDS)}.")
        if strange := sorted(set(said) - _DESTINATION_SETTINGS[kind]):
            raise UserError(f"{where}: {', '.join(strange)} means nothing there; take it out.")
        for setting, value in said.items():
            if setting != "kind" and not (_is_number(value) and value > 0):
                raise UserError(f"{where}: {setting} is {value!r}; write a number above 0.")
        found[name] = DestinationSpec(name, **said)
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class _Entry:
    """The settings of one entry, each checked as it is read."""

    def __init__(self, where: str, said: Mapping[str, Any]) -> None:
        self.where = where
        self.said = said

    def error(self, fault: str, remedy: str) -> UserError:
        return UserError(f"{self.where}: {fault}; {remedy}.")

    def text(self, name: str, default: str | None = None) -> str:
        value = self.said.get(name, default)
        if not isinstance(value, str) or not value.strip():
            raise self.error(f"{name} is {value!r}", "write a text")
        return " ".join(value.split())

    def texts(self, name: str, allowed: Iterable[str]) -> tuple[str, ...]:
        value = self.said.get(name)
        if not isinstance(value, list) or not value or len(set(value)) < len(value):
            raise self.error(f"{name} is {value!r}", "write a list of different names")
        choice = sorted(allowed)
        if strange := [one for one in value if one not in choice]:
            raise self.error(f"{name} has {strange[0]!r}", f"use {', '.join(choice)}")
        return tuple(value)

    def whole(self, name: str, default: int | None = None, least: int = 1) -> int:
        value = self.said.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise self.error(f"{name} is {value!r}", f"write a whole number from {least}")
        return value

    def rate(self, name: str, default: float) -> float:
        value = self.said.get(name, default)
        if not _is_number(value) or not 0 <= value < 1:
            raise self.error(f"{name} is {value!r}", "write a number from 0 to below 1")
        return float(value)

    def part(self, name: str, settings: set[str]) -> _Entry | None:
        value = self.said.get(name)
        if value is None:
            return None
        if not isinstance(value, dict) or set(value) != settings:
            raise self.error(f"{name} is {value!r}", f"write {', '.join(sorted(settings))}")
        return _Entry(f"{self.where}, {name}", value)


def _audience(
    node: Mapping[str, Any], meta: Mapping[str, Any], known: Mapping[str, DestinationSpec]
) -> Audience:
    name, said = str(node["name"]), meta.get("audience")
    where = f"audience {name} ({node.get('patch_path') or node['original_file_path']})"
    if not name.startswith(PREFIX) or not isinstance(said, dict):
        raise UserError(
            f"{where}: an audience is called {PREFIX}<name> and has an entry with "
            f"config.meta.audience; it needs {', '.join(_REQUIRED)}."
        )
    entry = _Entry(where, said)
    if missing := [setting for setting in _REQUIRED if setting not in said]:
        raise entry.error(f"{missing[0]} is missing", "state it under config.meta.audience")
    if strange := sorted(set(said) - _SETTINGS):
        raise entry.error(
            f"{strange[0]} means nothing there", f"use {', '.join(sorted(_SETTINGS))}"
        )
    columns = tuple(node["columns"])
    if list(meta.get("key") or []) != ["customer_key"] or not {"customer_key", "reason"} <= set(
        columns
    ):
        raise entry.error(
            "an audience has one row per customer, with the reason",
            "give it the columns customer_key and reason, and key: [customer_key]",
        )
    channel = entry.text("channel")
    if channel not in NEEDS:
        raise entry.error(f"channel is {channel!r}", f"use {', '.join(NEEDS)}")
    own = set(columns) - {"customer_key"}
    cap, outcome = entry.part("contact_cap", {"contacts", "days"}), _outcome(entry)
    share = entry.rate("holdout_share", 0.0)
    experiment = entry.text("experiment") if "experiment" in said else None
    if (experiment is None) != (share == 0) or (experiment is None) != (outcome is None):
        raise entry.error(
            "an experiment has a name, a holdout_share above 0 and an outcome",
            "state all three, or none",
        )
    return Audience(
        name=name.removeprefix(PREFIX),
        purpose=entry.text("purpose"),
        owner=entry.text("owner"),
        version=entry.whole("version"),
        channel=channel,
        consent_purpose=entry.text("consent_purpose", "marketing"),
        destinations=entry.texts("destinations", known),
        fields=entry.texts("fields", own | set(IDENTIFIERS)),
        columns=columns,
        cap=Cap(cap.whole("contacts"), cap.whole("days")) if cap else None,
        experiment=experiment,
        holdout_share=share,
        minimum_size=entry.whole("minimum_size"),
        largest_drop_rate=entry.rate("largest_drop_rate", 0.5),
        outcome=outcome,
        birthday_within_days=entry.whole("birthday_within_days")
        if "birthday_within_days" in said
        else None,
    )


def _outcome(entry: _Entry) -> Outcome | None:
    part = entry.part("outcome", {"metric", "days", "smallest_effect"})
    if part is None:
        return None
    effect = part.said["smallest_effect"]
    if not _is_number(effect) or effect <= 0:
        raise part.error(f"smallest_effect is {effect!r}", "write a number above 0")
    metric = part.text("metric")
    if metric not in METRICS:
        raise part.error(f"metric is {metric!r}", f"use {', '.join(METRICS)}")
    return Outcome(metric, part.whole("days"), float(effect))
