"""``-metrics``: a run answers Prometheus."""

from __future__ import annotations

import socket
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from tests.buses import Run, card_of, caspy, wait_for
from tests.servers.ioc import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

parser = pytest.importorskip("prometheus_client.openmetrics.parser")
ENDLESS = ["--from-scratch", "counter", "n=1", "rate=200", "--npfun", "sum", "--to-summary"]
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@pytest.fixture
def port() -> Iterator[int]:
    with free_port() as number:
        yield int(number)


def ask(port: int, accept: str = OPENMETRICS) -> str:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
        return str(answer.read().decode())


def samples(text: str) -> dict[tuple[str, str], float]:
    """Return every sample by name and actor, as Prometheus itself would read them."""
    return {
        (sample.name, sample.labels.get("actor", "")): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_run_tells_its_figures(port: int) -> None:
    with Run("-bus", "m", *ENDLESS, "path=/dev/null", "-metrics", str(port), log="WARNING") as run:
        card_of("m")

        def figures() -> Any:
            found = samples(ask(port))
            return found if found["caspy_actor_iterations_total", "summary.3"] > 0 else None

        first = wait_for(figures, "the first figures")
        assert first["caspy_broker_up", ""] == 1
        assert first["caspy_actor_up", "npfun.2"] == 1
        assert first["caspy_actor_restarts_total", "npfun.2"] == 0
        assert first["caspy_actor_sent_bytes_total", "scratch.1"] > 0
        wait_for(
            lambda: (
                figures()["caspy_run_iterations_total", ""]
                > first["caspy_run_iterations_total", ""]
            ),
            "more iterations",
        )
        assert 'caspy_run_info{bus="m"' in ask(port, "text/plain")
        run.interrupt()
        assert run.wait() == 0
        assert run.log == ""
    with pytest.raises(OSError, match="refused"):
        ask(port)


def test_the_launcher_has_no_thread_and_no_socket_of_it(port: int) -> None:
    with Run("-bus", "m", *ENDLESS, "path=/dev/null", "-metrics", str(port)) as run:
        card_of("m")
        ask(port)
        import psutil

        launcher = psutil.Process(run.process.pid)
        assert launcher.num_threads() == 1
        owners = [p.pid for p in (launcher, *launcher.children()) if _listens(p, port)]
        assert owners == [run.actor("metrics").pid]
        caspy("-stop", "m")


def _listens(process: Any, port: int) -> bool:
    return any(one.laddr.port == port for one in process.net_connections("tcp") if one.laddr)


def test_a_killed_server_does_not_end_the_run(port: int) -> None:
    with Run("-bus", "m", *ENDLESS, "path=/dev/null", "-metrics", str(port)) as run:
        card_of("m")
        run.actor("metrics").kill()
        wait_for(lambda: "no more figures" in run.log, "the warning")
        run.interrupt()
        assert run.wait() == 0


def test_a_client_that_says_nothing_holds_nobody_up(port: int) -> None:
    with Run("-bus", "m", *ENDLESS, "path=/dev/null", "-metrics", str(port)) as run:
        card_of("m")
        with socket.create_connection(("127.0.0.1", port)):
            assert samples(ask(port))
            run.interrupt()
            assert run.wait() == 0


def test_a_port_in_use_is_said_before_the_run_starts(port: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        done = caspy(*ENDLESS, "-metrics", str(port))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[0] == (
        f"caspy: cannot listen at port {port} of 127.0.0.1: Address already in use"
    )
    assert "^" in done.stderr


@pytest.mark.parametrize("address", ["x", "70000", "host:", "-1", "nosuch.invalid:9000"])
def test_addresses_that_are_none(address: str) -> None:
    done = caspy(*ENDLESS, f"-metrics={address}")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert "^" in done.stderr


def test_every_host_is_asked_for(port: int) -> None:
    with Run("-bus", "m", *ENDLESS, "path=/dev/null", "-metrics", f"0.0.0.0:{port}"):
        card_of("m")
        assert samples(ask(port))
        caspy("-stop", "m")
