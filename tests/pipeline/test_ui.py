"""The Dagster UI as `crm dev` starts it: on loopback only, and materialising what it is asked."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.pipeline.landed import LandedWarehouse
from tests.pipeline.support import start_crm

LAUNCH = """
mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename
  ... on LaunchRunSuccess { run { runId } }
  ... on PythonError { message }
  ... on RunConfigValidationInvalid { errors { message } }
  ... on InvalidSubsetError { message } } }
"""
RUN = """
query($id: ID!) { runOrError(runId: $id) { __typename
  ... on Run { status assetMaterializations { assetKey { path }
    metadataEntries { label ... on TextMetadataEntry { text } } } } } }
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Ui:
    """The GraphQL door of a running UI."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql",
            data=body,
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            data: dict[str, Any] = json.loads(answer.read())
        assert "errors" not in data, data
        return data["data"]

    def wait_until_ready(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        query = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }"
        while time.monotonic() < deadline:
            try:
                if self.ask(query)["repositoriesOrError"].get("nodes"):
                    return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                pass
            time.sleep(0.5)
        raise AssertionError(f"the UI was not there after {seconds} s")


@pytest.fixture
def ui(tiny_home: Path, tmp_path: Path) -> Iterator[tuple[Ui, Path, int]]:
    """Start the real command on a home with a warehouse; yield (UI, home, process id)."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copyfile(tiny_home / "warehouse.duckdb", home / "warehouse.duckdb")
    port = free_port()
    process = start_crm(home, "dev", "--port", str(port))
    try:
        door = Ui(port)
        door.wait_until_ready(120)
        yield door, home, process.pid
    finally:
        stop(process)


def stop(process: subprocess.Popen[str]) -> None:
    """End the UI with all that it started: asked first, then killed."""
    process_itself = psutil.Process(process.pid)
    family = [process_itself, *process_itself.children(recursive=True)]
    # what was started in the background of a shell does not hear SIGINT
    os.killpg(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + 15
    while (left := [m for m in family if is_alive(m)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    for member in left:
        member.kill()
    process.communicate()


def is_alive(member: psutil.Process) -> bool:
    """Whether it still works: one that ended may stay listed until somebody asks for its code."""
    try:
        return member.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def listening(pid: int) -> set[str]:
    """Addresses on which a process or one of its children listens."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return {
        connection.laddr.ip
        for member in family
        for connection in member.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }


def test_one_asset_is_materialised_over_graphql_on_loopback_only(ui):
    door, home, pid = ui
    assert listening(pid) <= {"127.0.0.1", "::1"}
    assert listening(pid)
    params = {
        "selector": {
            "repositoryLocationName": "crm_pipeline",
            "repositoryName": "__repository__",
            "pipelineName": "__ASSET_JOB",
            "assetSelection": [{"path": ["control", "run_settings"]}],
        },
        "runConfigData": json.dumps(
            {"ops": {"control__run_settings": {"config": {"as_of": "2026-03-31"}}}}
        ),
    }
    launched = door.ask(LAUNCH, params=params)["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    deadline = time.monotonic() + 120
    while True:
        run = door.ask(RUN, id=launched["run"]["runId"])["runOrError"]
        if run["status"] in ("SUCCESS", "FAILURE", "CANCELED") or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    assert run["status"] == "SUCCESS", run
    [made] = run["assetMaterializations"]
    assert made["assetKey"]["path"] == ["control", "run_settings"]
    entries = {entry["label"]: entry.get("text") for entry in made["metadataEntries"]}
    assert entries["as_of"] == "2026-03-31"
    stored = LandedWarehouse(home).value("select as_of::varchar from control.run_settings")
    assert stored == "2026-03-31"
