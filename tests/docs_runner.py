"""Runs what the documentation shows: commands, scripts, and files.

A document is run from top to bottom in a folder of its own, beside a copy of ``examples/``:

* ``console``: lines that begin with ``$`` are commands, what follows is their output. Numbers may
  differ, ``...`` stands for anything. A pipe that would run for ever is stopped with Ctrl-C as soon
  as the output shown has come; one whose exit code is asked for (``echo $?``) ends by itself. A
  command that ends in ``&`` runs until the end of its block.
* ``python`` and ``yaml``: a first line ``# NAME`` saves the block as that file. A script that calls
  ``asyncio.run`` is run, and so is a block without a name; a ``text`` block right behind it is its
  output. Recipes are read by ``caspy -plan``.
* a comment ``<!-- not run: reason -->`` above a block leaves it out.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from camagick_broker.inquiry import Inquiry
from camagick_broker.running import read
from tests.servers.ioc import beacon_sink, free_port, tools

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ROOT = Path(__file__).resolve().parent.parent
DEADLINE = 25.0
LANGUAGES = ("console", "python", "yaml")
_FENCE = re.compile(r"^(?P<mark>`{3,})(?P<language>\w*)\s*$")
_SKIP = re.compile(r"<!-- not run: (?P<reason>.+) -->")
_NUMBER = re.compile(r"-?\d+(?:\.\d*)?(?:e[-+]?\d+)?")
_LOG = re.compile(r"(WARNING|ERROR):")
_ENDS = (
    "-count", "-plan", "-emit", "-save", "-list-all", "-completion", "-h", "-version", "?", "|",
    "-ls", "-stop", "-grant", "-revoke",
)  # fmt: skip
_C_TOOLS = ("caget", "caput", "camonitor", "pvget", "pvput", "pvmonitor")
_H5LS = """
import sys, h5py
def show(name, item):
    kind = "Group"
    if isinstance(item, h5py.Dataset):
        most = item.maxshape
        sizes = [f"{n}/Inf" if m is None else str(n) for n, m in zip(item.shape, most)]
        kind = "Dataset {" + ", ".join(sizes) + "}"
    print(f"/{name:24} {kind}")
with h5py.File(sys.argv[-1]) as file:
    show("", file)
    file.visititems(show)
"""


@dataclass(frozen=True)
class Block:
    """A fenced block; `skipped` is the reason why it is not run."""

    place: str
    language: str
    text: str
    skipped: str = ""

    @property
    def file(self) -> str:
        """Return the name of the file that the block is, '' for none."""
        match = re.match(r"# ([\w./-]+\.(?:py|spy))\s*$", self.text.partition("\n")[0])
        return match[1] if match else ""


@dataclass(frozen=True)
class Command:
    """One command of a console block, and the output that is shown behind it."""

    text: str
    expected: tuple[str, ...]


def documents() -> list[Path]:
    """Return every document of the repository."""
    found = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("[!.]*/README.md")]
    return sorted(dict.fromkeys(path for path in found if path.exists()))


def blocks(path: Path) -> list[Block]:
    """Return the fenced blocks of a document."""
    found: list[Block] = []
    opened: re.Match[str] | None = None
    start, comment = 0, ""
    kept: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if opened is None:
            if fence:
                opened, start, kept = fence, number, []
            elif line.strip():
                skip = _SKIP.search(line)
                comment = skip["reason"] if skip else ""
        elif fence and fence["mark"] == opened["mark"] and not fence["language"]:
            place = f"{path.relative_to(ROOT)}:{start}"
            found.append(Block(place, opened["language"], "\n".join(kept), comment))
            opened, comment = None, ""
        else:
            kept.append(line)
    assert opened is None, f"{path}:{start}: a block is never closed"
    return found


def commands(text: str) -> list[Command]:
    """Take a console block apart."""
    found: list[tuple[str, list[str]]] = []
    continued = False
    for line in text.splitlines():
        if continued:
            command, output = found[-1]
            found[-1] = command[:-1] + " " + line.strip(), output
            continued = line.endswith("\\")
        elif line.startswith("$ "):
            found.append((line[2:], []))
            continued = line.endswith("\\")
        else:
            assert found, f"output before a command: {line}"
            found[-1][1].append(line)
    return [
        Command(command, tuple(line for line in output if line.strip()))
        for command, output in found
    ]


def masked(line: str) -> str:
    """Return a line with all numbers alike, and all white space."""
    return " ".join(_NUMBER.sub("0", line).split())


def loopback(ports: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of examples/loopback.env, with other ports."""
    found = {}
    for line in (ROOT / "examples/loopback.env").read_text().splitlines():
        if line.startswith("export "):
            [word] = shlex.split(line)[1:]
            key, _, value = word.partition("=")
            found[key] = replaced(value, ports)
    return found


def replaced(text: str, ports: Mapping[str, str]) -> str:
    """Return a text with other ports in it."""
    return re.sub(r"\b15\d{3}\b", lambda match: ports.get(match[0], match[0]), text)


@contextlib.contextmanager
def environment(folder: Path) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """Give variables for everything that is run, and the ports that replace those in the text."""
    with contextlib.ExitStack() as stack:
        ports = {str(n): str(stack.enter_context(free_port())) for n in range(15064, 15068)}
        ports.update((str(n), str(stack.enter_context(free_port()))) for n in (15075, 15076))
        ports["15098"] = str(stack.enter_context(free_port()))
        ports["15099"] = str(stack.enter_context(beacon_sink()))
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("EPICS_", "CASPY_"))}
        path = f"{_programs(folder)}:/usr/bin:/bin"
        yield {**kept, **loopback(ports), "PATH": path, "MPLBACKEND": "agg"}, ports


def _programs(folder: Path) -> Path:
    """Make a folder of the programs that documents use, and nothing else."""
    folder.mkdir(parents=True)
    here = Path(sys.executable).parent
    scripts = {"caspy": f'exec {here}/caspy "$@"', "python": f'exec {sys.executable} "$@"'}
    (folder / "h5ls.py").write_text(_H5LS)
    scripts["h5ls"] = f'exec {sys.executable} {folder}/h5ls.py "$@"'
    for name in _C_TOOLS:
        scripts[name] = f'exec {tools()}/{name} "$@" 2>/dev/null'
    for name, line in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)
    return folder


class Running:
    """A process whose lines are read as they come."""

    def __init__(self, command: str, folder: Path, env: Mapping[str, str]) -> None:
        self.env = dict(env)
        self._process = subprocess.Popen(
            ["bash", "-c", f"set -f; {command}"], cwd=folder, env=self.env, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.deadline = time.monotonic() + DEADLINE

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def line(self) -> str | None:
        """Return the next line, None at the end."""
        try:
            return self._lines.get(timeout=max(0.0, self.deadline - time.monotonic()))
        except queue.Empty:
            raise AssertionError(f"nothing more within {DEADLINE} s") from None

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGINT)

    def wait(self) -> int:
        """Return the exit code."""
        return self._process.wait(timeout=max(0.1, self.deadline - time.monotonic()))

    def close(self) -> None:
        """Leave nothing behind, whatever happened."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._reader.join(5)
        if self._process.stdout is not None:
            self._process.stdout.close()


class Shell:
    """Runs one document in a folder of its own.

    Parameters
    ----------
    folder, env, ports
        Where, with what variables, and with which ports for those in the text.
    """

    def __init__(self, folder: Path, env: Mapping[str, str], ports: Mapping[str, str]) -> None:
        self.folder = folder
        # Buses of its own, so that documents may be run in parallel.
        own = {"HOME": str(folder), "XDG_RUNTIME_DIR": os.environ["XDG_RUNTIME_DIR"]}
        self._env, self._ports = {**env, **own}, ports
        self._last = 0
        shutil.copytree(
            ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__")
        )

    def block(self, block: Block, behind: Block | None) -> None:
        """Run a block; `behind` is the one that follows it."""
        if block.language == "console":
            self._console(block.text)
            return
        if block.file:
            path = self.folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text + "\n")
        if block.language == "yaml":
            self._run(Command(f"caspy -plan -yaml {block.file}", ("...",)))
        elif not block.file or "asyncio.run(" in block.text:
            name = block.file or "snippet.py"
            (self.folder / name).write_text(block.text + "\n")
            shown = behind.text.splitlines() if behind and behind.language == "text" else []
            self._run(Command(f"python {name}", tuple(shown)))

    def _console(self, text: str) -> None:
        todo = commands(text)
        with contextlib.ExitStack() as stack:
            started: list[Running] = []
            for place, command in enumerate(todo):
                following = todo[place + 1].text if place + 1 < len(todo) else ""
                if command.text.endswith("&"):
                    started.append(self._start(command.text.rstrip("& ")))
                    stack.callback(started[-1].close)
                    if bus := re.search(r"-bus (\S+)", command.text):
                        until_running(bus[1], started[-1])
                elif command.text == "echo $?":
                    assert command.expected == (str(self._last),), f"exit code {self._last}"
                elif not command.text.startswith("source "):
                    self._run(command, asked=following == "echo $?")
            for running in started:
                running.interrupt()
                assert running.wait() == 0, "a command in the background failed"

    def _start(self, text: str) -> Running:
        return Running(replaced(text, self._ports), self.folder, self._env)

    def _run(self, command: Command, *, asked: bool = False) -> None:
        """Run a command and compare its output.

        Where its exit code is asked for, it ends by itself, and need not be a success.
        """
        text, wrong = command.text, command.expected[:1] and command.expected[0][:6] == "caspy:"
        lasting = re.search(r"\b(caspy|camonitor|pvmonitor)\b", text)
        ends = asked or bool(wrong) or not lasting or any(word in _ENDS for word in text.split())
        if not ends and not command.expected and "caspy" in text:
            text, ends = f"{text} -count 2", True
        if text.startswith(_C_TOOLS) and not lasting:
            pv = next(word for word in text.split()[1:] if ":" in word)
            until_there(pv, self._env, "pvget" if text.startswith("pv") else "caget")
        running = self._start(text)
        seen: list[str] = []
        try:
            _compare(running, command.expected, seen, to_the_end=ends)
            if not ends and command.expected:
                running.interrupt()
            self._last = running.wait()
            if not asked:
                accepted = (2,) if wrong else (0,) if "caspy" in text else (0, -signal.SIGINT)
                assert self._last in accepted, f"exit code {self._last}"
        except (AssertionError, subprocess.TimeoutExpired) as error:
            report = "\n".join(["", f"$ {text}", *seen, "--- but shown is:", *command.expected])
            raise AssertionError(f"{error}{report}") from None
        finally:
            running.close()


def until_there(pv: str, env: Mapping[str, str], program: str = "caget") -> None:
    """Wait until a PV answers."""
    tool = f"{env['PATH'].partition(':')[0]}/{program}"
    end = time.monotonic() + DEADLINE
    while subprocess.run(
        [tool, "-w", "1", pv], env=dict(env), capture_output=True, check=False, timeout=DEADLINE
    ).returncode:
        assert time.monotonic() < end, f"{pv} does not answer"


def until_running(bus: str, process: Running) -> None:
    """Wait until a bus runs, so that the commands behind it find it, and figures with it."""
    folder = Path(process.env["XDG_RUNTIME_DIR"]) / "caspy" / bus
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        card = read(folder)
        if card is not None:
            with Inquiry(card.run, folder) as inquiry:
                status = inquiry.status(1.0) or {}
            if len(status.get("before", ())) == len(card.actors):
                return
        time.sleep(0.05)
    raise AssertionError(f"bus {bus} does not run")


class _Expected:
    """Lines that have to come, in order; ``...`` stands for any lines."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._todo = [masked(line) for line in lines]
        self._retry: list[str] | None = None  # where to go on from after a mismatch
        self._skip()

    @property
    def todo(self) -> list[str]:
        """Return what has not come yet."""
        return self._todo

    def takes(self, line: str) -> bool:
        """Take a line; tell whether it was expected."""
        line = masked(line)
        if self._retry is not None and self._todo and line != self._todo[0]:
            self._todo = list(self._retry)
        if self._todo and line == self._todo[0]:
            self._todo.pop(0)
            self._skip()
            return True
        return self._retry is not None

    def _skip(self) -> None:
        if self._todo and self._todo[0] == "...":
            self._todo.pop(0)
            self._retry = list(self._todo)


def _compare(
    running: Running, expected: tuple[str, ...], seen: list[str], *, to_the_end: bool
) -> None:
    """Read lines until all that is expected has come, or to the end.

    Log lines come from other processes than the output, so only their own order is compared.
    """
    logs = _Expected(line for line in expected if _LOG.match(line))
    output = _Expected(line for line in expected if not _LOG.match(line))
    any_warning = not any(line.startswith("WARNING") for line in expected)
    while logs.todo or output.todo or to_the_end:
        line = running.line()
        if line is None:
            break
        seen.append(line)
        is_log = _LOG.match(line)
        if not line.strip() or "***" in line or (any_warning and line.startswith("WARNING")):
            continue
        fine = (logs if is_log else output).takes(line)
        assert fine or not expected, f"not what is shown: {line!r}"
    missing = logs.todo or output.todo
    assert not missing, f"ended before {missing[0]!r}"
