"""What the tests of the bus share."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from camagick_broker.broker import Broker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RUN = b"run tests"[:8]
DEADLINE_S = 15.0


def until(condition: Callable[[], Any], what: str = "it to happen") -> None:
    """Wait for a condition; fail if it does not come true in time."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited in vain for {what}")
        time.sleep(0.002)


@pytest.fixture
def bus_dir() -> Iterator[str]:
    """Give a folder whose path is short enough for sockets."""
    folder = tempfile.mkdtemp(prefix="cb")
    yield folder
    shutil.rmtree(folder)


def _open_files() -> dict[str, str]:
    found = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:
            continue
        if target.startswith(("socket:", "anon_inode:")):
            found[number] = target
    return found


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """No thread and no file may be left behind."""
    threads, files = set(threading.enumerate()), len(_open_files())
    yield
    until(
        lambda: not [one for one in threading.enumerate() if one not in threads],
        f"threads to end: {threading.enumerate()}",
    )
    until(lambda: len(_open_files()) <= files, f"sockets to be closed: {_open_files()}")


class Served:
    """A broker in a thread."""

    def __init__(self, folder: str, names: dict[int, str]) -> None:
        self.broker = Broker(RUN, folder, names)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self.broker.serve, args=(self._stopped.is_set,))
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        self._stopped.set()
        self.broker.ring()
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()


@pytest.fixture
def serve(bus_dir: str, nothing_left: None) -> Iterator[Callable[[dict[int, str]], Served]]:
    """Start brokers, and stop them at the end."""
    started: list[Served] = []

    def start(names: dict[int, str]) -> Served:
        started.append(Served(bus_dir, names))
        return started[-1]

    yield start
    for one in started:
        one.stop()
