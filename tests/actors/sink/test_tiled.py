"""Tiled, in and out: a real server, which goes away and comes back, and a sink that is killed."""

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.buses import Run, caspy, wait_for
from tests.servers.ioc import free_port

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.skipif(importlib.util.find_spec("tiled") is None, reason="tiled is not installed"),
]
KEY = "secret"
httpx: Any = pytest.importorskip("httpx")
os.environ.setdefault("TILED_RETRY_ATTEMPTS", "1")  # read when tiled is imported


class Server:
    """A catalog that outlives its server's process.

    Parameters
    ----------
    folder, port
        Where its data is, and where it listens.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self._folder, self._port = folder, port
        self.uri = f"http://127.0.0.1:{port}"
        self.scan = ""
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, if it does not run, and wait until it answers."""
        if self.process is not None:
            return
        new = not (self._folder / "catalog.db").exists()
        words = [
            sys.executable, "-m", "tiled", "serve", "catalog", f"{self._folder}/catalog.db",
            "--write", f"{self._folder}/data", "--api-key", KEY, "--port", str(self._port),
            *(["--init"] if new else []),
        ]  # fmt: skip
        log = (self._folder / "log").open("ab")
        self.process = subprocess.Popen(words, stdout=log, stderr=log)
        log.close()
        deadline = time.monotonic() + 120  # it loads half of Python's packages
        while not self._answers():
            assert time.monotonic() < deadline, "the Tiled server does not answer"

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self._folder / "log").read_text()[-3000:]
        time.sleep(0.1)
        try:
            with self.client():
                return True
        except Exception:  # noqa: BLE001 - not yet
            return False

    @contextmanager
    def client(self) -> Iterator[Any]:
        from tiled.client import from_uri

        client = from_uri(self.uri, api_key=KEY, timeout=httpx.Timeout(20.0))
        try:
            yield client
        finally:
            client.context.http_client.close()

    def stop(self) -> None:
        """Kill it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(20)
            self.process = None

    def has(self, *path: str) -> bool:
        with self.client() as client:
            try:
                return client[path] is not None
            except KeyError:
                return False

    def read(self, *path: str) -> Any:
        with self.client() as client:
            return np.array(client[path].read())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with free_port() as port:
        found = Server(tmp_path_factory.mktemp("tiled"), port)
        try:
            found.start()
            yield found
        finally:
            found.stop()


@pytest.fixture
def server(site: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("TILED_API_KEY", KEY)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    before = site.process
    site.start()
    site.scan = tmp_path.name
    yield site
    if site.process is not before:
        site.stop()  # no test leaves a process behind that it has started


@contextmanager
def counting(server: Server, count: int, rate: int) -> Iterator[Run]:
    words = ["--from-scratch", "counter", "x", "img=3,4", f"rate={rate}", "-count", str(count)]
    words += ["--to-tiled", f"{server.uri}#{server.scan}/{{tag}}", "timeout=60"]
    with Run(*words, "-restart", "20") as run:
        yield run


def check(server: Server, count: int) -> None:
    assert server.read(server.scan, "x")[:, 0].tolist() == list(range(count))
    assert np.array_equal(
        server.read(server.scan, "img"), np.ones((count, 3, 4)) * np.arange(count)[:, None, None]
    )


def test_there_and_back(server: Server, tmp_path: Path) -> None:
    for count in (30, 50):  # the second run goes on
        with counting(server, count, 0) as run:
            assert run.wait() == 0, run.log
    x = server.read(server.scan, "x")[:, 0]
    assert x.tolist() == [*range(30), *range(50)]
    assert not list((tmp_path / "state").glob("caspy/spool/*"))
    back = caspy(
        "--from-tiled", f"{server.uri}#{server.scan}", "each=1", "i=img[0:30,1]", "x=x[0:30]",
        "--to-hdf5", f"{tmp_path}/b.h5#{{tag}}",
    )  # fmt: skip
    assert back.returncode == 0, back.stderr
    import h5py

    with h5py.File(tmp_path / "b.h5") as file:
        assert np.array_equal(file["i"], server.read(server.scan, "img")[:30, 1])
    shown = caspy(
        "--from-tiled", f"{server.uri}#{server.scan}", "k=.keys", "s=img.shape", "--to-summary"
    )
    assert "shape=(2,)" in shown.stdout
    wrong = caspy("--from-tiled", f"{server.uri}#{server.scan}/no", "--to-summary")
    assert wrong.returncode == 1
    assert f"no array /{server.scan}/no: /{server.scan} has img, x" in wrong.stderr


def test_a_wrong_key_is_said(server: Server) -> None:
    words = ["--from-scratch", "counter", "x", "rate=20"]
    done = caspy(*words, "--to-tiled", f"{server.uri}#a/{{tag}}", "api_key=no", "-count", "100")
    assert done.returncode == 1
    assert "the server does not let us do that" in done.stderr


def test_while_the_server_is_away_frames_wait(server: Server) -> None:
    with counting(server, 300, 100) as run:
        wait_for(lambda: server.has(server.scan, "img"), "the first frame")
        server.stop()
        wait_for(lambda: "frames wait on the disk" in run.log, "the sink to notice")
        time.sleep(0.5)  # so that some have to wait
        server.start()
        assert run.wait() == 0, run.log
    check(server, 300)


def test_what_waits_is_sent_by_the_next_run(server: Server) -> None:
    server.stop()
    words = ["--from-scratch", "counter", "x", "img=3,4", "rate=0", "--to-tiled"]
    done = caspy(*words, f"{server.uri}#{server.scan}/{{tag}}", "timeout=0.5", "-count", "40")
    assert done.returncode == 0, done.stderr
    assert "the next run sends them" in done.stderr
    server.start()
    words[-1:] = ["opts=start=40", "--to-tiled", f"{server.uri}#{server.scan}/{{tag}}"]
    done = caspy(*words, "timeout=60", "-count", "10")
    assert done.returncode == 0, done.stderr
    check(server, 50)


def test_killed_at_any_moment(server: Server) -> None:
    with counting(server, 400, 150) as run:
        for _ in range(4):
            actor = run.actor("tiled.2")
            time.sleep(0.4)  # any moment is as good
            actor.kill()
            actor.wait(10)
            if _ == 1:
                server.stop()
                server.start()
        assert run.wait() == 0, run.log
    check(server, 400)


def test_contract(server: Server) -> None:
    from camagick.sink.tiled import Processor
    from camagick.testing import check_processor

    values = {"x": np.arange(4.0), "n": 3}
    check_processor(lambda: Processor(f"{server.uri}#c/{{tag}}"), values, values)
    assert server.read("c", "n").tolist()[:2] == [3, 3]
