"""A real EPICS on the other side, over PV Access: softIocPVA, pvget, pvput, pvmonitor, and p4p.

All on loopback, each test process on ports of its own. The helpers take the environment that
`pva_env` gives.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.servers.ioc import DEADLINE, beacon_sink, ca_env, free_port, full, tools, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_KEY = re.compile(r"([{,])(\w+):")
ROOT = Path(__file__).resolve().parent.parent.parent


@contextlib.contextmanager
def pva_env(*servers: int) -> Iterator[dict[str, str]]:
    """Give the EPICS variables for one server of one's own and for clients of it.

    Parameters
    ----------
    *servers
        Search ports of further servers that the clients shall find.
    """
    with free_port() as port, free_port() as search, beacon_sink() as sink:
        yield {
            "EPICS_PVA_ADDR_LIST": " ".join(f"127.0.0.1:{one}" for one in (search, *servers)),
            "EPICS_PVA_AUTO_ADDR_LIST": "NO",
            "EPICS_PVA_BROADCAST_PORT": str(search),
            "EPICS_PVA_SERVER_PORT": str(port),
            "EPICS_PVAS_SERVER_PORT": str(port),
            "EPICS_PVAS_BROADCAST_PORT": str(search),
            "EPICS_PVAS_INTF_ADDR_LIST": "127.0.0.1",
            "EPICS_PVAS_BEACON_ADDR_LIST": f"127.0.0.1:{sink}",
            "EPICS_PVAS_AUTO_BEACON_ADDR_LIST": "NO",
        }


def search_port(env: Mapping[str, str]) -> int:
    """Return the port where the server of an environment is searched for."""
    return int(env["EPICS_PVAS_BROADCAST_PORT"])


def tool(env: Mapping[str, str], name: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run one of the real tools once."""
    return subprocess.run(
        [str(tools() / name), *args],
        env=full(env), capture_output=True, text=True, timeout=DEADLINE, check=False,
    )  # fmt: skip


def pvget(env: Mapping[str, str], *arguments: str, deadline: float = DEADLINE) -> str:
    """Run the real pvget until it succeeds, and return what it prints."""

    def attempt() -> str:
        done = tool(env, "pvget", "-w", "1", *arguments)
        # Seldom it forgets the name of a PV before it prints it.
        return done.stdout if done.returncode == 0 and "<NULL>" not in done.stdout else ""

    return str(until(attempt, f"pvget {arguments}", deadline)).strip()


def structures(env: Mapping[str, str], *pvs: str) -> dict[str, Any]:
    """Return the structures of PVs as the real pvget says them."""
    found = {}
    for line in pvget(env, "-M", "json", *pvs).splitlines():
        name, _, text = line.partition(" ")
        found[name] = json.loads(_KEY.sub(r'\1"\2":', text))  # its keys are without quotes
    return found


class Pvmonitor:
    """A running pvmonitor, whose output can be looked at; started anew where it hangs.

    It may do so before it prints any value, and says then nothing at all, or that it was surprised
    by an exception of its own (bad_weak_ptr, when the answer comes at a bad moment).
    """

    #: Seconds after which one that has not said a word is replaced.
    PATIENCE = 5.0
    SURPRISED = "Unhandled exception"

    def __init__(self, env: Mapping[str, str], *pvs: str) -> None:
        self._command, self._env = [str(tools() / "pvmonitor"), *pvs], full(env)
        self._file = tempfile.NamedTemporaryFile("r", prefix="pvmonitor-")  # noqa: SIM115
        self._before = ""
        self._start()

    def _start(self) -> None:
        with open(self._file.name, "w") as output:
            self.process = subprocess.Popen(
                self._command, env=self._env, stdout=output, stderr=subprocess.STDOUT
            )
        self._since = time.monotonic()

    def text(self) -> str:
        """Return all that it, and those before it, have printed."""
        text = Path(self._file.name).read_text()
        silent = not text and time.monotonic() - self._since > self.PATIENCE
        if silent or self.SURPRISED in text:
            self._before += text
            self._end()
            self._start()
            return self._before
        return self._before + text

    def _end(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """Kill it."""
        self._end()
        self._file.close()


@contextlib.contextmanager
def pvmonitor(env: Mapping[str, str], *pvs: str) -> Iterator[Pvmonitor]:
    """Give a running pvmonitor."""
    monitor = Pvmonitor(env, *pvs)
    try:
        yield monitor
    finally:
        monitor.close()


class SoftIocPva:
    """A real C IOC with QSRV; `db` is its database, with $(P) for the prefix `TEST:`."""

    PREFIX = "TEST:"

    def __init__(self, env: Mapping[str, str], db: str, folder: Path) -> None:
        self._folder = folder
        self._stack = contextlib.ExitStack()
        self.env = {**self._stack.enter_context(ca_env()), **env}
        self._db = folder / "softiocpva.db"
        self._db.write_text(db + '\nrecord(bo, "$(P)up") { field(VAL, "1") field(PINI, "YES") }\n')
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [str(tools() / "softIocPVA"), "-S", "-m", f"P={self.PREFIX}", "-d", str(self._db)]
        with (self._folder / "softiocpva.log").open("wb") as log:
            self.process = subprocess.Popen(
                command, env=full(self.env), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        pvget(self.env, f"{self.PREFIX}up")

    def kill(self) -> None:
        """Kill it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def close(self) -> None:
        """Kill it, and give its ports back."""
        self.kill()
        self._stack.close()

    def put(self, name: str, *words: str) -> None:
        """Write a PV through the real pvput."""
        done = tool(self.env, "pvput", "-w", "5", f"{self.PREFIX}{name}", *words)
        assert done.returncode == 0, done.stderr


def pattern(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    """Return the image that a `Peer` sends for these; all that both sides agree on."""
    size = int(np.prod(shape))
    return (np.arange(size) * 7 % 251 + seed).astype(dtype).reshape(shape)


class Peer:
    """p4p's own server in another process, ``tests/servers/pva_peer.py``: does as it is told."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = dict(env)
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.servers.pva_peer"],
            env={**full(env), "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"},
            cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self._lines.get(timeout=DEADLINE)
        except queue.Empty:
            self.close()
            raise

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def tell(self, verb: str, **words: Any) -> None:
        """Have something done, and wait until it is."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"verb": verb, **words}) + "\n")
        self.process.stdin.flush()
        answer = self._lines.get(timeout=DEADLINE)
        assert answer == "done\n", answer

    def image(self, name: str, shape: tuple[int, ...], number: int, **words: Any) -> None:
        """Post an image: `pattern` of shape, dtype and seed; number is its unique id."""
        self.tell("image", name=name, shape=shape, number=number, **words)

    def close(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()
        self._reader.join(5)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
