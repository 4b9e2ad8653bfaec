"""What an audience's entry may say; the audiences that ship; settings of destinations."""

from __future__ import annotations

import copy

import pytest

from crm_pipeline.activation.audiences import (
    DestinationSpec,
    audiences_from_manifest,
    declared_destinations,
    read_destinations,
)
from crm_pipeline.activation.running import open_destination, senders
from crm_pipeline.errors import UserError
from crm_pipeline.resources.dbt import ensure_manifest
from crm_pipeline.settings import Endpoint, load_settings

KNOWN = {"list": DestinationSpec("list", "csv")}
ENTRY = {
    "purpose": "To be tested.",
    "owner": "team:test",
    "version": 1,
    "channel": "email",
    "destinations": ["list"],
    "fields": ["email", "reason"],
    "minimum_size": 1,
}
EXPERIMENT = {
    "experiment": "test_1",
    "holdout_share": 0.1,
    "outcome": {"metric": "conversion", "days": 30, "smallest_effect": 0.02},
}


def manifest(entry=None, name="audience_test", columns=("customer_key", "reason"), key=None):
    node = {
        "name": name,
        "resource_type": "model",
        "original_file_path": f"models/activation/{name}.sql",
        "columns": {column: {} for column in columns},
        "config": {"meta": {"key": key or ["customer_key"], "audience": entry or ENTRY}},
    }
    return {"nodes": {f"model.crm.{name}": node}}


def test_an_entry_is_read():
    found = audiences_from_manifest(manifest(ENTRY | EXPERIMENT), KNOWN)["test"]
    assert (found.experiment, found.holdout_share, found.outcome.days) == ("test_1", 0.1, 30)
    assert (found.consent_purpose, found.largest_drop_rate, found.cap) == ("marketing", 0.5, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"purpose": ""}, "purpose is ''"),
        ({"channel": "carrier pigeon"}, "channel is 'carrier pigeon'; use email"),
        ({"destinations": ["elsewhere"]}, "destinations has 'elsewhere'; use list"),
        ({"fields": ["email", "shoe_size"]}, "fields has 'shoe_size'; use"),
        ({"fields": ["birth_date"]}, "fields has 'birth_date'"),
        ({"fields": ["customer_key"]}, "fields has 'customer_key'"),
        ({"version": 0}, "version is 0; write a whole number from 1"),
        ({"minimum_size": "many"}, "minimum_size is 'many'"),
        ({"largest_drop_rate": 1}, "largest_drop_rate is 1"),
        ({"contact_cap": {"contacts": 1}}, "contact_cap is .*; write contacts, days"),
        ({"holdout_share": 0.1}, "an experiment has a name, a holdout_share above 0"),
        ({"experiment": "a"}, "an experiment has a name, a holdout_share above 0"),
        (EXPERIMENT | {"outcome": EXPERIMENT["outcome"] | {"metric": "joy"}}, "metric is 'joy'"),
        ({"colour": "red"}, "colour means nothing there"),
        ({"birthday_within_days": 0}, "birthday_within_days is 0"),
    ],
)
def test_what_cannot_be_followed_is_refused_with_the_place(change, message):
    with pytest.raises(UserError, match=rf"audience_test \(models/activation/.*{message}"):
        audiences_from_manifest(manifest(ENTRY | change), KNOWN)


@pytest.mark.parametrize("missing", sorted(ENTRY))
def test_what_is_missing_is_named(missing):
    entry = {name: value for name, value in ENTRY.items() if name != missing}
    with pytest.raises(UserError, match=f"{missing} is missing"):
        audiences_from_manifest(manifest(entry), KNOWN)


def test_an_audience_has_its_name_its_entry_and_its_grain():
    with pytest.raises(UserError, match="is called audience_<name>"):
        audiences_from_manifest(manifest(name="friends"), KNOWN)
    with pytest.raises(UserError, match="one row per customer, with the reason"):
        audiences_from_manifest(manifest(columns=("customer_key",)), KNOWN)
    with pytest.raises(UserError, match="one row per customer, with the reason"):
        audiences_from_manifest(manifest(key=["customer_key", "as_of"]), KNOWN)
    bare = manifest()
    del bare["nodes"]["model.crm.audience_test"]["config"]["meta"]["audience"]
    with pytest.raises(UserError, match="has an entry"):
        audiences_from_manifest(bare, KNOWN)


def test_two_audiences_do_not_share_an_experiment():
    both = manifest(ENTRY | EXPERIMENT)
    other = copy.deepcopy(both["nodes"]["model.crm.audience_test"])
    other["name"] = "audience_other"
    both["nodes"]["model.crm.audience_other"] = other
    with pytest.raises(UserError, match="other and test share the experiment test_1"):
        audiences_from_manifest(both, KNOWN)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"a": {"kind": "fax"}}, "kind is 'fax'"),
        ({"a": {}}, "kind is None"),
        ({"a": {"kind": "csv", "batch_size": 3}}, "batch_size means nothing there"),
        ({"a": {"kind": "http", "batch_size": 0}}, "batch_size is 0"),
    ],
)
def test_a_destination_is_refused_with_the_place(said, message):
    with pytest.raises(UserError, match=f"destination a .*{message}"):
        read_destinations(said)


def test_the_audiences_that_ship():
    found = audiences_from_manifest(ensure_manifest(), declared_destinations())
    assert {"welcome", "birthday", "check_in", "win_back", "after_complaint", "high_value_at_risk",
            "next_offer_by_email", "next_offer_by_sms", "advertising"} <= set(found)  # fmt: skip
    assert found["birthday"].birthday_within_days == 7
    assert "birth_date" in found["birthday"].kinds
    assert "birth_date" not in found["welcome"].kinds
    for one in found.values():
        assert one.minimum_size > 1
        assert 0 < one.largest_drop_rate < 1
        assert bool(one.cap) == one.is_contact, one.name


def test_an_endpoint_is_read_and_its_secret_not_shown():
    settings = load_settings(
        {
            "CRM_HOME": "/nowhere",
            "CRM_DESTINATION_MAIL_SERVICE_URL": "https://mail.example.com/lists",
            "CRM_DESTINATION_MAIL_SERVICE_SECRET": "hush",
            "CRM_DESTINATION_MAIL_LIST_SECRET": "hush",
        }
    )
    assert settings.endpoints == {
        "mail_service": Endpoint("https://mail.example.com/lists", "hush"),
        "mail_list": Endpoint(None, "hush"),
    }
    assert "hush" not in repr(settings)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://mail.example.com/x", "is not https"),
        ("ftp://mail.example.com/x", "is no address"),
        ("mail.example.com", "is no address"),
        ("https://me:secret@mail.example.com", "holds a password"),
        ("https://[::1/", "is no address"),
        ("http://localhost.example.com/x", "is not https"),
    ],
)
def test_personal_data_do_not_leave_in_clear(url, message):
    with pytest.raises(UserError, match=message) as refused:
        load_settings({"CRM_DESTINATION_X_URL": url})
    assert "secret" not in str(refused.value)
    for local in ("http://127.0.0.1:8000/x", "http://localhost/x", "http://[::1]:1/x"):
        assert load_settings({"CRM_DESTINATION_X_URL": local}).endpoints["x"].url == local


def test_a_service_without_an_address_is_not_set_up():
    spec, settings = DestinationSpec("service", "http"), load_settings({"CRM_HOME": "/nowhere"})
    assert open_destination(settings, spec) is None


def test_names_that_are_wrong_are_told_with_the_right_ones():
    settings = load_settings({"CRM_HOME": "/nowhere"})
    with pytest.raises(UserError, match=r"no audience joy; there are advertising, after_complaint"):
        senders(settings, ensure_manifest(), "joy", None)
    with pytest.raises(UserError, match="may not be sent to ad_platform; its entry allows"):
        senders(settings, ensure_manifest(), "welcome", "ad_platform")
    with pytest.raises(UserError, match="set CRM_DESTINATION_MAIL_SERVICE_URL"):
        senders(settings, ensure_manifest(), "audience_welcome", "mail_service")
    found, missing = senders(settings, ensure_manifest(), "welcome", None)
    assert [one.name for one in found] == ["mail_list"]
    assert len(missing) == 1
