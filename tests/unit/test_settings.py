"""Settings: every name and value is read or refused; nothing is guessed."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest

from crm_pipeline.cron import is_cron
from crm_pipeline.errors import UserError
from crm_pipeline.settings import (
    CHECKOUT,
    KNOWN,
    export_environment,
    load_settings,
    parse_date,
    prepare_home,
    read_dotenv,
)


def test_defaults_are_the_documented_ones():
    settings = load_settings({})
    assert settings.home == CHECKOUT / ".crm"
    assert settings.sources == ("demo", "demo_desk", "demo_marketing", "demo_sales")
    assert settings.as_of is None
    assert (settings.time_zone, settings.currency) == ("UTC", None)
    assert (settings.horizon_days, settings.clv_horizon_days) == (90, 365)
    assert settings.discount_rate == 0.10
    assert (settings.refresh_cron, settings.training_cron) == ("0 5 * * *", "0 3 * * 0")


def test_every_setting_is_read():
    settings = load_settings(
        {
            "CRM_HOME": "~/company",
            "CRM_SOURCES": "shop, desk,shop",
            "CRM_AS_OF": "2026-06-30",
            "CRM_TIMEZONE": "Europe/Berlin",
            "CRM_CURRENCY": "EUR",
            "CRM_HORIZON_DAYS": "60",
            "CRM_CLV_HORIZON_DAYS": "180",
            "CRM_DISCOUNT_RATE": "0",
            "CRM_ALERT_WEBHOOK": "http://127.0.0.1:1/x",
            "CRM_LANGUAGE": "zh",
            "CRM_MEMORY_LIMIT": "2GB",
            "CRM_PORT": "3010",
            "CRM_REFRESH_CRON": "0 6 * * *",
            "CRM_TRAINING_CRON": "0 4 * * 1",
        }
    )
    assert settings.home == Path("~/company").expanduser()
    assert settings.sources == ("shop", "desk")
    assert settings.as_of == date(2026, 6, 30)
    assert (settings.horizon_days, settings.clv_horizon_days) == (60, 180)
    assert settings.discount_rate == 0.0
    assert settings.port == 3010
    assert settings.warehouse == settings.home / "warehouse.duckdb"


def test_an_empty_value_is_no_value():
    assert load_settings(dict.fromkeys(KNOWN, "")) == load_settings({})


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CRM_HORIZON_DAYS", "ninety", "CRM_HORIZON_DAYS='ninety' is not a number"),
        ("CRM_HORIZON_DAYS", "0", "must be above zero"),
        ("CRM_HORIZON_DAYS", "-5", "must be above zero"),
        ("CRM_CLV_HORIZON_DAYS", "1.5", "is not a number"),
        ("CRM_DISCOUNT_RATE", "nan", "CRM_DISCOUNT_RATE"),
        ("CRM_DISCOUNT_RATE", "inf", "CRM_DISCOUNT_RATE"),
        ("CRM_DISCOUNT_RATE", "10 %", "is not a number"),
        ("CRM_TIMEZONE", "Mars/Olympus", "use a name such as Europe/Berlin"),
        ("CRM_TIMEZONE", "../etc/passwd", "is no time zone"),
        ("CRM_AS_OF", "30.06.2026", "write it as 2026-11-22"),
        ("CRM_AS_OF", "2026-02-30", "is not a date"),
        ("CRM_SOURCES", "demo,,shop", "empty name"),
        ("CRM_SOURCES", " ", "empty name"),
        ("CRM_LANGUAGE", "de", "use en or zh"),
        ("CRM_PORT", "http", "is not a number"),
        ("CRM_PORT", "70000", "CRM_PORT"),
        ("CRM_MEMORY_LIMIT", "plenty", "must be a size, as 4GB"),
        ("CRM_CURRENCY", "euro", "must be a currency's three letters"),
        ("CRM_REFRESH_CRON", "every morning", "write it as '0 5 * * *'"),
        ("CRM_TRAINING_CRON", "61 * * * *", "write it as '0 3 * * 0'"),
        ("CRM_ALERT_WEBHOOK", "chat.example.com/hook", "must be an address"),
    ],
)
def test_a_malformed_value_is_refused_by_name(name, value, said):
    with pytest.raises(UserError) as caught:
        load_settings({name: value})
    assert name in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("0 5 * * *", True),
        ("*/15 8-18 1,15 JAN-mar mon-FRI", True),
        ("0 0 * * 7", True),
        ("0 5 * *", False),
        ("0 5 * * * *", False),
        ("0 24 * * *", False),
        ("0 5 0 * *", False),
        ("*/0 * * * *", False),
        ("0 5 * * fun", False),
        ("@daily", False),
    ],
)
def test_cron_schedules_are_told_as_dagster_tells_them(text, valid):
    from dagster._utils.schedules import is_valid_cron_schedule

    assert is_cron(text) is valid
    if valid:
        assert is_valid_cron_schedule(text)


def test_an_unknown_name_is_refused_with_those_that_are_known():
    with pytest.raises(UserError, match=r"unknown setting CRM_SOURCE; known are .*CRM_SOURCES"):
        load_settings({"CRM_SOURCE": "demo"})


def test_dotenv_is_read_and_a_line_that_is_none_is_named(tmp_path):
    file = tmp_path / ".env"
    file.write_text("# a comment\n\nexport CRM_SOURCES='shop'\nCRM_CURRENCY=EUR\n")
    assert read_dotenv(file) == {"CRM_SOURCES": "shop", "CRM_CURRENCY": "EUR"}
    assert read_dotenv(tmp_path / "none") == {}
    file.write_text("CRM_CURRENCY=EUR\nCRM_SOURCES shop\n")
    with pytest.raises(UserError, match=r"\.env line 2 is not KEY=value"):
        read_dotenv(file)


def test_a_dotenv_that_is_no_text_is_a_users_mistake(tmp_path):
    (tmp_path / ".env").write_bytes(b"CRM_CURRENCY=\xff\xfe\n")
    with pytest.raises(UserError, match=r"\.env.*UTF-8"):
        read_dotenv(tmp_path / ".env")


def test_the_environment_wins_over_dotenv(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("CRM_CURRENCY=EUR\nCRM_HORIZON_DAYS=30\n")
    monkeypatch.setattr("crm_pipeline.settings.CHECKOUT", tmp_path)
    monkeypatch.setenv("CRM_CURRENCY", "GBP")
    settings = load_settings()
    assert (settings.currency, settings.horizon_days) == ("GBP", 30)


def test_a_date_names_the_option_it_came_from():
    assert parse_date("2026-11-22", "--as-of") == date(2026, 11, 22)
    with pytest.raises(UserError, match=r"--as-of='22/11/2026' is not a date"):
        parse_date("22/11/2026", "--as-of")


def test_a_home_gets_its_folders_and_dagsters_settings(tmp_path):
    settings = load_settings({"CRM_HOME": str(tmp_path / "a" / "home"), "CRM_SOURCES": "x,y"})
    prepare_home(settings)
    assert (settings.inbox / "x").is_dir()
    assert (settings.inbox / "y").is_dir()
    assert "duckdb" in (settings.dagster_home / "dagster.yaml").read_text().lower()
    prepare_home(settings)
    assert not (settings.home / ".writable").exists()


def test_a_home_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    settings = load_settings({"CRM_HOME": str(tmp_path / "file" / "home")})
    with pytest.raises(UserError, match=r"CRM_HOME=.* cannot be written .*set CRM_HOME"):
        prepare_home(settings)


def test_exported_settings_reach_every_tool(tmp_path):
    settings = load_settings({"CRM_HOME": str(tmp_path), "CRM_TIMEZONE": "Europe/Paris"})
    environment: dict[str, str] = {}
    export_environment(settings, environment)
    assert environment["CRM_WAREHOUSE"] == str(tmp_path / "warehouse.duckdb")
    assert environment["DAGSTER_HOME"] == str(tmp_path / "dagster")
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
    read = {name: value for name, value in environment.items() if name.startswith("CRM_")}
    assert load_settings(read).time_zone == "Europe/Paris"


def test_every_setting_is_in_the_example_file():
    """A user looks for settings in one place."""
    text = (CHECKOUT / ".env.example").read_text()
    internal = {"CRM_SHARED_DATA", "CRM_WAREHOUSE", "CRM_SCRATCH"}
    later = {"CRM_MASTER_KEY"}
    assert {name for name in KNOWN - internal - later if f"#{name}=" not in text} == set()


def test_only_the_settings_read_the_environment():
    """The exceptions: dbt's own process, and handing the settings to dbt's parser."""
    allowed = {"settings.py", "dbt_command.py", "resources/dbt.py"}
    package = CHECKOUT / "crm_pipeline"
    found = {
        file.relative_to(package).as_posix()
        for file in package.rglob("*.py")
        if "os.environ" in file.read_text() or "getenv" in file.read_text()
    }
    assert found == allowed
    assert os.environ is not None
