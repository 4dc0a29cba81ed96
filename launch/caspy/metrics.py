"""``-metrics``: the figures of a run, served over HTTP to Prometheus and its like."""

from __future__ import annotations

import signal
import threading
import time
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from camagick_broker.inquiry import Inquiry
from caspy import figures

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from camagick_broker.running import Card
    from caspy.figures import Row

#: An answer of the broker serves everybody who asks within so many seconds.
_FRESH_S = 0.5
_PATIENCE_S = 2.0
_CLIENT_S = 5.0

#: Name, help, and where it is found; names and units as OpenMetrics wants them.
COUNTERS: tuple[tuple[str, str, Callable[[Row], float]], ...] = (
    ("iterations", "Iterations done", lambda row: row.seq),
    ("received_messages", "Messages received", lambda row: row.messages_in),
    ("received_bytes", "Bytes received", lambda row: row.bytes_in),
    ("sent_messages", "Messages handed on", lambda row: row.messages_out),
    ("sent_bytes", "Bytes handed on", lambda row: row.bytes_out),
    ("busy_seconds", "Time in which the processor worked", lambda row: row.busy_s),
    ("resent_messages", "Messages sent again", lambda row: row.resends),
    ("duplicate_messages", "Messages that had arrived before", lambda row: row.duplicates),
    ("gaps", "Gaps before a message", lambda row: row.gaps),
    ("refused_messages", "Messages that were not understood", lambda row: row.refused),
    ("restarts", "Restarts of the process", lambda row: row.restarts),
    ("copied_bytes", "Bytes copied into shared memory", lambda row: row.copied_bytes),
    ("unplaced_arrays", "Arrays that found no room in shared memory", lambda row: row.unplaced),
)
GAUGES: tuple[tuple[str, str, Callable[[Row], float]], ...] = (
    ("kept_messages", "Messages handed on and not yet acknowledged", lambda row: row.kept),
    ("slot_bytes", "Shared memory that it has", lambda row: row.slot_bytes),
    ("latency_seconds", "Age of messages when they arrive", lambda row: row.latency_s),
    ("up", "1 while it runs", lambda row: float(row.state == "running")),
)


def serve(card: Card, listening: socket.socket) -> int:
    """Answer until SIGTERM, which must be blocked; return the exit code."""
    from prometheus_client import CollectorRegistry, make_wsgi_app

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(card))
    server = _Server(listening)
    server.set_app(make_wsgi_app(registry))
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    signal.sigwait((signal.SIGTERM,))
    server.shutdown()
    server.server_close()
    return 0


class _Collector:
    """Asks the broker when somebody asks."""

    def __init__(self, card: Card) -> None:
        self._card = card
        self._lock = threading.Lock()
        self._asked_at = float("-inf")
        self._status: dict[str, Any] | None = None
        self._answers = False

    def collect(self) -> Iterator[Any]:
        """Yield all metrics."""
        with self._lock:
            if time.monotonic() > self._asked_at + _FRESH_S:
                self._ask()
            status, answers = self._status, self._answers
        yield from _metrics(self._card, figures.rows(self._card, status), answers)

    def _ask(self) -> None:
        with Inquiry(self._card.run, self._card.folder) as inquiry:
            status = inquiry.status(_PATIENCE_S)
        self._answers = status is not None
        self._status = status or self._status  # counters must not fall
        self._asked_at = time.monotonic()


def _metrics(card: Card, rows: list[Row], answers: bool) -> Iterator[Any]:
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        InfoMetricFamily,
    )

    yield InfoMetricFamily(
        "caspy_run", "The run", value={"run": card.run.hex(), "bus": card.bus,
                                       "version": card.version}
    )  # fmt: skip
    yield GaugeMetricFamily(
        "caspy_broker_up", "1 while the broker of the bus answers", value=float(answers)
    )
    yield GaugeMetricFamily(
        "caspy_run_start_time_seconds", "Start, in seconds since the epoch", value=card.started
    )
    yield CounterMetricFamily(
        "caspy_run_iterations", "Iterations that have gone through their whole pipe",
        value=figures.iterations(card, rows),
    )  # fmt: skip
    own = [(name, f"Counted by its processor: {name}", _own(name)) for name in _own_names(rows)]
    for kind, table in ((CounterMetricFamily, (*COUNTERS, *own)), (GaugeMetricFamily, GAUGES)):
        for name, text, value in table:
            family = kind(f"caspy_actor_{name}", text, labels=("actor",))
            for row in rows:
                if not name.startswith("own_") or name.removeprefix("own_") in row.own:
                    family.add_metric((row.name,), value(row))
            yield family


def _own_names(rows: list[Row]) -> list[str]:
    return sorted({f"own_{name}" for row in rows for name in row.own if name.isidentifier()})


def _own(name: str) -> Callable[[Row], float]:
    return lambda row: row.own[name.removeprefix("own_")]


class _Handler(WSGIRequestHandler):
    timeout = _CLIENT_S  # type: ignore[mutable-override]

    def log_message(self, *_: Any) -> None:
        """Say nothing: who asks is no news."""


class _Server(ThreadingMixIn, WSGIServer):
    """Serves a socket that listens already."""

    daemon_threads = True

    def __init__(self, listening: socket.socket) -> None:
        super().__init__(("", 0), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.server_address = listening.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def handle_error(self, *_: Any) -> None:
        """Say nothing: a client that went away is no news either."""
