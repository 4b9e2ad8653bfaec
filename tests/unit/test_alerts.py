"""Alerts reach the log always and the webhook if there is one; a deaf webhook stops nobody."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from crm_pipeline.alerts import send_alert
from crm_pipeline.settings import load_settings


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[dict], list[int]]]:
    """Yield (address, what was posted, the answer's status)."""
    posted: list[dict] = []
    status = [200]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            posted.append({"type": self.headers["Content-Type"], "body": json.loads(body)})
            self.send_response(status[0])
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", posted, status
    server.shutdown()
    server.server_close()


def settings(home: Path, webhook: str = ""):
    return load_settings({"CRM_HOME": str(home), "CRM_ALERT_WEBHOOK": webhook})


def lines(home: Path) -> list[dict]:
    return [json.loads(line) for line in (home / "alerts.jsonl").read_text().splitlines()]


def test_each_alert_is_one_line(tmp_path):
    for number in (1, 2):
        assert send_alert(settings(tmp_path), title="t", text="two\nlines", run_id=str(number))
    assert [line["run_id"] for line in lines(tmp_path)] == ["1", "2"]
    assert lines(tmp_path)[0]["text"] == "t: two\nlines"
    assert lines(tmp_path)[0]["at"].endswith("+00:00")


def test_the_webhook_gets_the_same_json(tmp_path, webhook):
    address, posted, _ = webhook
    assert send_alert(settings(tmp_path, address), title="t", text="x", run_id="7")
    assert [p["type"] for p in posted] == ["application/json"]
    assert [p["body"] for p in posted] == lines(tmp_path)


def test_a_webhook_that_refuses_is_reported_and_stops_nobody(tmp_path, webhook, caplog):
    address, posted, status = webhook
    status[0] = 500
    assert not send_alert(settings(tmp_path, address), title="t", text="x", run_id="7")
    assert len(posted) == 1
    assert "webhook did not take it" in caplog.text
    assert len(lines(tmp_path)) == 1


def test_a_webhook_that_is_not_there_is_reported_and_stops_nobody(tmp_path, caplog):
    nobody = settings(tmp_path, "http://127.0.0.1:9/hook")
    assert not send_alert(nobody, title="t", text="x", run_id="7")
    assert "webhook did not take it" in caplog.text
    assert len(lines(tmp_path)) == 1
