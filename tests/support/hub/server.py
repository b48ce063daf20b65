"""The HTTP side of the test Hub: connections, tokens, faults, and the log of what was asked.

LFS objects live on another origin (`localhost` instead of `127.0.0.1`), as they do on the real Hub.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.hub.faults import Fault, Faults
from tests.support.hub.messages import Answer, Question
from tests.support.hub.repositories import RefusalError, Repositories, Repository
from tests.support.hub.routes import answer

TOKEN = "hf_CanaryMayWriteEverything"
READ_TOKEN = "hf_CanaryMayOnlyRead"


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the log keeps it."""

    method: str
    path: str
    num_bytes: int
    authorized: bool


class Hub(ThreadingHTTPServer):
    """A server on 127.0.0.1; `requests` is its log, `fault` says what goes wrong next."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, directory: Path, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.repositories = Repositories(directory)
        self.faults = Faults()
        self.requests: list[Request] = []
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.storage_url = f"http://localhost:{self.server_port}"
        self.page_size = 50
        self.token = TOKEN

    def fault(self, method: str, path: str, action: str = "answer", **more: object) -> Fault:
        """Let the next request that matches meet this fault."""
        return self.faults.add(Fault(method=method, path=path, action=action, **more))  # type: ignore[arg-type]

    def repository(self, name: str, kind: str = "dataset") -> Repository:
        return self.repositories.get(kind, name)

    def content(self, name: str, revision: str = "main", kind: str = "dataset") -> dict[str, bytes]:
        """Every file of a revision, without the Hub's own .gitattributes."""
        files = self.repository(name, kind).resolve(revision).files
        return {p: self.repositories.read(f.sha256) for p, f in files.items() if p != ".gitattributes"}

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle is what the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"
    wbufsize = 2**16  # one packet per answer: two wait for each other (Nagle and delayed acknowledgements)

    def do_GET(self) -> None:
        self._handle()

    def do_HEAD(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_PUT(self) -> None:
        self._handle()

    def do_DELETE(self) -> None:
        self._handle()

    def _handle(self) -> None:
        parts = urlsplit(self.path)
        fault = self.server.faults.take(self.command, unquote(parts.path))
        if fault is not None and fault.action in ("die", "disconnect", "hold"):
            return self._break(fault)
        body = self._body()
        self.server.requests.append(
            Request(self.command, unquote(parts.path), len(body), "Authorization" in self.headers)
        )
        if fault is not None and fault.action == "answer":
            refused = RefusalError(fault.status, "", fault.message)
            return self._send(_refused(refused, fault.headers))
        question = Question(
            method=self.command,
            path=[unquote(part) for part in parts.path.strip("/").split("/")],
            query=parse_qs(parts.query, keep_blank_values=True),
            headers=self.headers,
            body=body,
        )
        try:
            self._authorize(question)
            found = answer(self.server, question)
        except RefusalError as refusal:
            found = _refused(refusal)
        if fault is None:
            return self._send(found)
        if fault.action == "die_after":
            os.kill(os.getpid(), signal.SIGKILL)
        return self._hang_up()

    def _authorize(self, question: Question) -> None:
        """Tokens decide about the Hub; its storage believes the signature in the address."""
        if question.path[0] == "objects":
            if question.query.get("signature") != ["loopback"]:
                raise RefusalError(403, "", "no signature")
            return
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token and token not in (self.server.token, READ_TOKEN):
            raise RefusalError(401, "", "Invalid credentials in Authorization header")
        question.can_write = token == self.server.token
        question.can_read = bool(token)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _break(self, fault: Fault) -> None:
        if fault.action == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault.action == "disconnect":
            self.rfile.read(int(self.headers.get("Content-Length") or 2) // 2)
        if fault.action == "hold":
            fault.reached.set()
            fault.release.wait()
        self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _send(self, found: Answer) -> None:
        self.send_response(found.status)
        for name, value in found.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(found.length if found.length is not None else len(found.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(found.body)

    def log_message(self, format: str, *args: object) -> None: ...


def _refused(refusal: RefusalError, headers: dict[str, str] | None = None) -> Answer:
    message = str(refusal)
    named = {"X-Error-Code": refusal.code} if refusal.code else {}
    body = json.dumps(refusal.body | {"error": message}).encode()
    kind = {"Content-Type": "application/json", "X-Error-Message": message}
    return Answer(status=refusal.status, headers=kind | named | (headers or {}), body=body)


@contextmanager
def running_hub(directory: Path, port: int = 0) -> Iterator[Hub]:
    """A Hub in a thread of this process."""
    hub = Hub(directory, port)
    threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
