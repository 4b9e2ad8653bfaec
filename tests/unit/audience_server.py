"""A real service on loopback that holds lists, and misbehaves when it is told to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

OK, LIMITED, LIMITED_UNTIL, BROKEN, HALF, HANG, TWICE, REFUSE, MOVED, CUT = (
    "ok", "429", "429 with a date", "500", "half processed", "hangs when done", "taken twice",
    "422", "302", "connection cut",
)  # fmt: skip
FAULTS = (LIMITED, BROKEN, HALF, HANG, TWICE, CUT)
"""What a retry gets over."""


@dataclass
class Service:
    """What the service holds, and how it behaves next.

    Attributes:
        held: External id -> fields.
        script: Behaviour of the next requests, oldest first; then it is well.
        requests: Every request: its headers and body.
        seen: Called with every item that is put on the list, while it is.
    """

    held: dict[str, dict[str, Any]] = field(default_factory=dict)
    script: list[str] = field(default_factory=list)
    requests: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    rejects: set[str] = field(default_factory=set)
    seen: Callable[[dict[str, Any]], None] = lambda item: None
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)
    hang_seconds: float = 0.6

    def take(self, body: dict[str, Any], share: float = 1.0) -> None:
        """Apply a batch, or the first share of it."""
        for external_id in body["remove"][: int(len(body["remove"]) * share)]:
            self.held.pop(external_id, None)
        for item in body["upsert"][: int(len(body["upsert"]) * share)]:
            if item["external_id"] not in self.rejects:
                self.seen(item)
                self.held[item["external_id"]] = item


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: Service

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        service = self.service
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = self.headers["Idempotency-Key"]
        with service.lock:
            service.requests.append((dict(self.headers.items()), body))
            behaviour = service.script.pop(0) if service.script else OK
            if behaviour == HALF:
                service.take(body, 0.5)
            elif behaviour in (OK, HANG, TWICE, CUT) and key not in service.done:
                for _ in range(2 if behaviour == TWICE else 1):
                    service.take(body)
                service.done.add(key)
        if behaviour == HANG:
            time.sleep(service.hang_seconds)
        if behaviour == CUT:
            self.close_connection = True
            return
        code = {LIMITED: 429, LIMITED_UNTIL: 429, BROKEN: 500, HALF: 500, REFUSE: 422, MOVED: 302}
        rejected = [i["external_id"] for i in body["upsert"] if i["external_id"] in service.rejects]
        answer = json.dumps({"rejected": [{"external_id": one} for one in rejected]}).encode()
        try:
            self.send_response(code.get(behaviour, 200))
            if behaviour == LIMITED:
                self.send_header("Retry-After", "7")
            if behaviour == LIMITED_UNTIL:
                self.send_header("Retry-After", "Wed, 21 Oct 2015 07:28:00 GMT")
            if behaviour == MOVED:
                self.send_header("Location", service.url + "elsewhere")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
        except OSError:
            self.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """A client that was killed is no error."""


@contextmanager
def serving(service: Service) -> Iterator[Service]:
    """Run the service while the block lasts."""
    handler = type("Handler", (_Handler,), {"service": service})
    with _Server(("127.0.0.1", 0), handler) as server:
        service.url = f"http://127.0.0.1:{server.server_address[1]}/lists"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield service
        finally:
            server.shutdown()
            thread.join()
