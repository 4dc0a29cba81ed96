"""Real runs for tests: started as a user would, found by their name, never left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psutil

from camagick_broker.address import runtime_dir
from camagick_broker.inquiry import Inquiry
from camagick_broker.running import Card, find, read

if TYPE_CHECKING:
    from collections.abc import Callable

DEADLINE_S = 40.0
CASPY = [sys.executable, "-m", "caspy"]


def wait_for(test: Callable[[], Any], what: str) -> Any:
    """Wait until a test gives something true, and return that."""
    deadline = time.monotonic() + DEADLINE_S
    while not (result := test()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)
    return result


def caspy(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command line to its end."""
    return subprocess.run(
        [*CASPY, *words], capture_output=True, text=True, timeout=DEADLINE_S, check=False, **options
    )


class Run:
    """A run in the background, ended with its block if it is still there.

    Parameters
    ----------
    *words
        Its command line.
    log
        The level of its log.
    """

    def __init__(self, *words: str, log: str = "INFO", **options: Any) -> None:
        self._out, self._err = (tempfile.TemporaryFile("w+") for _ in range(2))  # noqa: SIM115
        self.process = subprocess.Popen(
            [*CASPY, *words], stdout=self._out, stderr=self._err,
            env={**os.environ, "CASPY_LOG_LEVEL": log}, start_new_session=True,
            **{"stdin": subprocess.DEVNULL, **options},
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        if failure is not None:
            self._tell()
        children = psutil.Process(self.process.pid).children() if self.running else []
        if self.running:
            self.interrupt()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5.0)
            self.process.kill()
        self.process.wait(DEADLINE_S)
        psutil.wait_procs(children, timeout=DEADLINE_S)  # they die with it
        self._out.close()
        self._err.close()

    def _tell(self) -> None:
        """Print what a reader of a failed test wants to know of the run."""
        print(f"caspy ended with {self.process.poll()}; its log:\n{self.log[-8000:]}")
        print(f"the end of its output:\n{self.out[-500:]}")
        for folder in runtime_dir().iterdir() if self.running else ():
            card = read(folder)
            if card is not None and card.pid == self.process.pid:
                with (
                    contextlib.suppress(subprocess.TimeoutExpired),
                    subprocess.Popen([*CASPY, "-top", card.bus]) as top,
                ):
                    try:
                        top.wait(3.0)
                    finally:
                        top.kill()

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    @property
    def out(self) -> str:
        """What came to its standard output so far."""
        return _text(self._out)

    @property
    def log(self) -> str:
        """What came to its standard error so far."""
        return _text(self._err)

    def actor(self, name: str) -> psutil.Process:
        """Return the process of an actor, once it is there."""

        def look() -> psutil.Process | None:
            for child in psutil.Process(self.process.pid).children():
                if "".join(child.cmdline()).endswith(f"/{name}"):
                    return child
            return None

        found: psutil.Process = wait_for(look, f"the process of {name}")
        return found

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def interrupt_twice(self) -> None:
        """Press Ctrl-C, and again at once."""
        for number in (signal.SIGINT, signal.SIGTERM):  # two of one kind may become one
            self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end and return the exit code."""
        return self.process.wait(DEADLINE_S)


def card_of(name: str) -> Card:
    """Return the card of a bus, once all its actors run."""
    wait_for(lambda: read(runtime_dir() / name), f"bus {name}")
    card = find(name)
    with Inquiry(card.run, card.folder) as inquiry:
        wait_for(lambda: (inquiry.status(1.0) or {}).get("ready"), f"the start of {name}")
    return card


def clear(name: str) -> None:
    """Wait until what a killed bus has left behind is removed."""
    wait_for(lambda: not (runtime_dir() / name).exists(), "the folder to be removed")


def _text(file: Any) -> str:
    return Path(f"/proc/self/fd/{file.fileno()}").read_text()
