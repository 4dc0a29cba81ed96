"""``-top``: a running bus on a terminal, and piped."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.buses import CASPY, DEADLINE_S, Run, card_of, caspy, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ENDLESS = ["--from-scratch", "counter", "n=1", "rate=200", "--npfun", "sum", "--to-summary"]


@contextmanager
def bus() -> Iterator[Run]:
    with Run("-bus", "t", *ENDLESS, "path=/dev/null") as run:
        card_of("t")
        yield run
        if run.running:
            run.interrupt()
            assert run.wait() == 0


_SETTINGS = ("COLUMNS", "LINES", "PYTHONUNBUFFERED")


class Terminal:
    """``caspy -top`` on a terminal of its own."""

    def __init__(self, *words: str, columns: int = 150) -> None:
        self.handle, inside = pty.openpty()
        self.modes = termios.tcgetattr(inside)
        termios.tcsetwinsize(inside, (24, columns))
        self.process = subprocess.Popen(
            [*CASPY, "-top", *words], stdin=inside, stdout=inside, stderr=inside,
            env={**_environment(), "TERM": "xterm"}, start_new_session=True,
            preexec_fn=_own_terminal,
        )  # fmt: skip
        self.inside = inside
        self.text = ""

    def read_until(self, seen: Callable[[str], object], what: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not seen(self.text):
            assert time.monotonic() < deadline, f"waited in vain for {what}: {self.text[-2000:]!r}"
            self._read(0.1)

    def _read(self, seconds: float) -> bool:
        """Read what is there, or comes within a time; tell whether it was anything."""
        if not select.select([self.handle], [], [], seconds)[0]:
            return False
        self.text += os.read(self.handle, 65536).decode(errors="replace")
        return True

    def end(self) -> int:
        """Return the exit code; the terminal must be as it was."""
        self.read_until(lambda _: self.process.poll() is not None, "the end")
        while self._read(0):  # what it has written last
            pass
        assert termios.tcgetattr(self.inside) == self.modes
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.handle)
        os.close(self.inside)


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in _SETTINGS}


def _own_terminal() -> None:
    import fcntl

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    made: list[Terminal] = []

    def start(*words: str, columns: int = 150) -> Terminal:
        made.append(Terminal(*words, columns=columns))
        return made[-1]

    yield start
    for one in made:
        one.close()


def shows_rates(text: str) -> bool:
    return bool(re.search(r"npfun\.2 +running +\d+ +[1-9]", text))


@pytest.mark.parametrize("words", [["t"], []])
def test_on_a_terminal_until_q(
    words: list[str], terminal: Callable[..., Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    with bus() as run:
        shown = terminal(*words)
        shown.read_until(shows_rates, "the rates")
        assert "\x1b[?1049h" in shown.text, "a screen of its own"
        for title in ("latency", "busy", "waiting", "kept", "resends", "gaps", "restarts"):
            assert title in shown.text
        os.write(shown.handle, b"xq")
        assert shown.end() == 0
        assert "\x1b[?1049l" in shown.text, "the screen is given back"
        assert run.running


def test_a_narrow_terminal_shows_what_matters(terminal: Callable[..., Terminal]) -> None:
    with bus():
        shown = terminal("t", columns=60)
        shown.read_until(lambda text: re.search(r"npfun\.2 .* [1-9]\d\d\b", text), "the rates")
        assert (
            "…" not in shown.text.replace("caspy -bus", "").split("actor")[1].split("q leaves")[0]
        )
        os.write(shown.handle, b"q")
        assert shown.end() == 0


def test_ctrl_c_leaves(terminal: Callable[..., Terminal]) -> None:
    with bus() as run:
        shown = terminal("t")
        shown.read_until(shows_rates, "the rates")
        os.write(shown.handle, b"\x03")
        assert shown.end() == 0
        assert "Traceback" not in shown.text
        assert run.running


def test_it_ends_with_the_bus(terminal: Callable[..., Terminal]) -> None:
    with bus() as run:
        shown = terminal("t")
        shown.read_until(shows_rates, "the rates")
        run.interrupt()
        assert shown.end() == 0
        assert "t has ended" in shown.text


def test_piped_it_is_plain_text() -> None:
    line = '"$0" -m caspy -top t | head -5; echo "${PIPESTATUS[0]}"'
    with bus():
        done = subprocess.run(
            ["bash", "-c", line, sys.executable],
            capture_output=True, text=True, timeout=DEADLINE_S, check=False,
        )  # fmt: skip
    *lines, code = done.stdout.splitlines()
    assert (code, done.stderr) == ("0", "")
    assert re.match(r"t at \d{4}-\d\d-\d\d ", lines[0])
    assert lines[1].split()[:4] == ["#", "actor", "state", "iteration"]
    assert [line.split()[1] for line in lines[2:]] == ["scratch.1", "npfun.2", "summary.3"]
    assert "\x1b" not in done.stdout


def test_piped_it_is_flushed_and_ends_with_the_bus() -> None:
    with bus() as run:
        process = subprocess.Popen(
            [*CASPY, "-top"], stdout=subprocess.PIPE, text=True, env=_environment()
        )
        assert process.stdout is not None
        for _ in range(2):  # one comes at a time, not many when a buffer is full
            table = os.read(process.stdout.fileno(), 65536).decode()
            assert table.count("t at ") == 1
        run.interrupt()
        out, _ = process.communicate(timeout=DEADLINE_S)
        assert out.splitlines()[-1] == "t has ended"
        assert process.returncode == 0


def test_a_silent_broker_is_said() -> None:
    with bus() as run:
        run.actor("broker").send_signal(signal.SIGSTOP)
        process = subprocess.Popen([*CASPY, "-top"], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline().endswith(", its broker does not answer\n")
        run.actor("broker").send_signal(signal.SIGCONT)
        wait_for(lambda: "answer" not in _head(process), "an answer")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0


def _head(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    while not (line := process.stdout.readline()).startswith("t at "):
        pass
    return line


def test_no_bus_or_too_many() -> None:
    done = caspy("-top")
    assert done.returncode == 2
    assert "no bus is running: start one" in done.stderr
    with bus(), Run("-bus", "u", *ENDLESS, "path=/dev/null"):
        card_of("u")
        assert "2 buses are running, name one: t, u" in caspy("-top").stderr
        caspy("-stop", "u")
