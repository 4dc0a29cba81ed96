"""Live runs among strangers: whatever is done to their sockets, the data stay whole."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import zmq

from tests import assault, hostile
from tests.asking import ask
from tests.chaos import titles
from tests.launch.test_supervisor import first_line, rest, start, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Writes down what an outsider would have to find out, and hands on what it is given.
TELLTALE = """
import json
from pathlib import Path
from camagick.processor import ProcessorBase


class Telltale(ProcessorBase):
    async def startup(self):
        Path("run").write_text(json.dumps([self.placement.run, self.placement.run_dir]))

    def process(self, data, context):
        return data
"""
SOURCE = ["--from-scratch", "counter", "n=1", "rate=300"]
CHAIN = [*SOURCE, "--telltale:Telltale", "--npfun", "sum", "--to-summary"]
FANOUT = [
    *SOURCE, "--telltale:Telltale",
    "{", "[", "--npfun", "sum", "]", "[", "--npfun", "max", "--rename", "{}_max", "]", "}",
    "--to-summary",
]  # fmt: skip
TOP = Path(__file__).parents[1]
_LINE = re.compile(r'msg="refused a message" reason="([^"]*)" from="([^"]*)".* actor=(\S+)')


class Run:
    """A run, of which everything is known that an attacker of the same user could know."""

    def __init__(self, pipe: list[str], cwd: Path, *options: str, **env: str) -> None:
        (cwd / "telltale.py").write_text(TELLTALE)
        path = os.pathsep.join([str(cwd), str(TOP), os.environ.get("PYTHONPATH", "")])
        env = {**os.environ, "PYTHONPATH": path, **env}
        self.process = start(*options, *pipe, cwd=cwd, env=env)
        self.lines = [first_line(self.process)]
        self.each = 2 if "{" in pipe else 1  # lines an iteration
        run, folder = json.loads((cwd / "run").read_text())
        self.id, self.folder = bytes.fromhex(run), Path(folder)
        self.actors = titles(self.process)

    def read(self, lines: int) -> None:
        """Let it go on for so many lines."""
        assert self.process.stdout is not None
        for _ in range(lines):
            line = self.process.stdout.readline()
            assert line, "the run has ended"
            self.lines.append(line)

    def refused(self) -> dict[str, dict[str, int]]:
        """Return what was refused so far, by actor and place, as the statistics say."""
        status = ask(self.id, str(self.folder))
        names = {number: entry["name"] for number, entry in status["actors"].items()}
        found = {names[n]: figures["refused"] for n, figures in status["statistics"].items()}
        return {**found, "broker": status["refused"]}

    def resources(self) -> dict[str, tuple[int, int]]:
        """Return open files and resident bytes of every process of the run."""
        return {
            name: (process.num_fds(), process.memory_info().rss)
            for name, process in self.actors.items()
        }

    def end(self) -> str:
        """Stop it, see that the output is whole and in order, and return what it has logged."""
        self.process.send_signal(signal.SIGINT)
        out, err = rest(self.process)
        assert self.process.returncode == 0, err
        lines = [*self.lines, *out.splitlines()]
        numbers = [float(line.rpartition(":")[2].strip(" []\n")) for line in lines]
        assert numbers == [n // self.each for n in range(len(numbers))]
        assert len(numbers) % self.each == 0
        assert "Traceback" not in err
        return err


@pytest.fixture(params=["chain", "fanout"])
def live(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Run]:
    run = Run(CHAIN if request.param == "chain" else FANOUT, tmp_path)
    yield run
    if run.process.poll() is None:
        run.process.kill()
        rest(run.process)
        wait_for(lambda: not run.folder.exists(), "the broker to remove the folder")


def lines_of(err: str) -> list[tuple[str, ...]]:
    """Return reason, place and actor of what the log says was refused."""
    return [match.groups() for match in _LINE.finditer(err)]


def check_log(err: str) -> list[tuple[str, ...]]:
    """See that the log says each thing once, where, and whose fault; and return it."""
    found = lines_of(err)
    kinds = [(reason.partition(":")[0], place, actor) for reason, place, actor in found]
    assert len(set(kinds)) == len(kinds), "said twice"
    assert len(found) == err.count("\n"), f"something else was logged: {err}"
    return found


def is_as_before(run: Run, before: dict[str, tuple[int, int]]) -> Callable[[], bool]:
    """Return a test whether no process holds more files or memory than before."""

    def look() -> bool:
        after = run.resources()
        return all(
            after[name][0] <= files and after[name][1] <= resident + (16 << 20)
            for name, (files, resident) in before.items()
        )

    return look


def test_noise_is_counted_and_does_no_harm(live: Run) -> None:
    live.read(100)
    paths = assault.addresses(live.folder)
    before = live.resources()
    for path in paths:
        assault.knock(path, 30)
    for name, words in hostile.noise():
        with contextlib.ExitStack() as stack:
            for path in paths:
                stack.enter_context(assault.talking(path, words))
            live.read(5)
            assert name
    live.read(300)
    counts = wait_for(lambda: live.refused() if _all_noise(live) else None, "the counts")
    for actor, by_place in counts.items():
        assert all(place.startswith("connections to ") for place in by_place), (actor, by_place)
    wait_for(is_as_before(live, before), f"files and memory to be given back: {before}")
    found = check_log(live.end())
    assert len(found) <= 2 * len(paths)


def _all_noise(run: Run) -> bool:
    """Tell whether every socket has counted garbage."""
    counts = run.refused()
    found = {(actor, place) for actor, by_place in counts.items() for place in by_place}
    return len(found) >= len(assault.addresses(run.folder))


def _all_strangers(run: Run) -> bool:
    """Tell whether every socket of an actor has counted a stranger."""
    counts, places = run.refused(), {"d": "data", "a": "back", "l": "loop"}
    wanted = [path.name.split(".") for path in assault.addresses(run.folder)]
    return all(
        any(
            f"connections to {places[ending]}" in by_place
            for name, by_place in counts.items() if name.endswith(f".{number}")
        )
        for number, ending in wanted if ending in places
    )  # fmt: skip


def test_whoever_begins_to_talk_and_stops_is_hung_up_on(live: Run) -> None:
    path = next(path for path in assault.addresses(live.folder) if path.name == "1.d")
    with assault.talking(path, b"GET / HTTP/1.1\r\n\r\n") as one:
        assert assault.hangs_up(one)
    with assault.talking(path, hostile.GREETING + hostile.ready(b"PULL")) as one:
        assert assault.hangs_up(one)  # a stranger, though his ZeroMQ is good
    live.read(50)
    live.end()


@pytest.mark.parametrize("right", [True, False], ids=["right run", "wrong run"])
def test_strangers_messages_do_not_even_come_in(live: Run, right: bool) -> None:
    live.read(100)
    run = live.id if right else bytes(8)
    words = [frames for _, frames in hostile.corpus(run, 1, 0)]
    before = live.resources()
    for path in assault.addresses(live.folder):
        if path.name != "broker.ctl":
            for kind in (zmq.PUSH, zmq.PUB, zmq.DEALER, zmq.REQ):
                assault.say(kind, path, words)
            assault.subscribe(path, 5000)
            live.read(5)
    live.read(300)
    counts = wait_for(lambda: live.refused() if _all_strangers(live) else None, "the counts")
    places = {place for by_place in counts.values() for place in by_place}
    assert all(place.startswith("connections to ") for place in places), places
    wait_for(is_as_before(live, before), f"files and memory to be given back: {before}")
    found = check_log(live.end())
    assert f"process {os.getpid()} (" in str(found)
    assert not hostile.DETONATED


def test_a_broker_hears_all_sorts_of_things_from_strangers(live: Run) -> None:
    live.read(100)
    path = live.folder / "broker.ctl"
    known = ask(live.id, str(live.folder))["actors"]
    words = [frames for _, frames in hostile.controls(live.id) + hostile.corpus(live.id, 1, 0)]
    before = live.resources()
    assert assault.say(zmq.DEALER, path, words) == len(words)
    wait_for(lambda: live.refused()["broker"].get("broker", 0) >= len(words), "the refusals")
    assert ask(live.id, str(live.folder))["actors"] == known
    # Whoever is started again must still hear from the broker where the others are.
    live.actors.pop("sum.3" if "sum.3" in live.actors else "npfun.3").kill()
    live.read(300)
    for name in list(before):
        if name not in live.actors:
            del before[name]
    wait_for(is_as_before(live, before), f"files and memory to be given back: {before}")
    err = live.end()
    assert 'by="process' in err
    assert err.count("is started again") == 1
    assert err.count("\n") < 25, err
    assert not hostile.DETONATED


def test_a_peer_that_takes_and_never_reads_takes_nothing(live: Run) -> None:
    live.read(100)
    before = live.resources()
    script = [sys.executable, "-m", "tests.assault", str(live.folder)]
    with subprocess.Popen(script, stdout=subprocess.PIPE, text=True, cwd=TOP) as thief:
        try:
            assert thief.stdout is not None
            assert thief.stdout.readline() == "there\n"
            thief.send_signal(signal.SIGSTOP)
            wait_for(lambda: psutil.Process(thief.pid).status() == "stopped", "the thief to stop")
            live.read(600)
        finally:
            thief.kill()
    status: dict[int, Any] = ask(live.id, str(live.folder))["statistics"]
    assert {figures["out"]["resends"] for figures in status.values()} == {0}
    wait_for(is_as_before(live, before), f"files and memory to be given back: {before}")
    live.end()


def test_a_producers_impostor_says_nothing_that_does_harm(live: Run) -> None:
    """Whoever may write into the folder can stand in for a producer; a restart leads to him."""
    live.read(100)
    address, real = live.folder / "1.d", live.folder / "real"
    address.rename(real)
    words = [frames for _, frames in hostile.corpus(live.id, 1, 10**6)]
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with context.socket(zmq.PUSH) as impostor:
        impostor.linger, impostor.sndtimeo = 0, 10_000
        impostor.bind(f"ipc://{address}")
        live.actors["telltale.2"].kill()
        for frames in words:
            impostor.send_multipart(frames)

        def all_refused() -> bool:
            found = live.refused().get("telltale.2", {}).get("input 1", 0)
            return found == len(words)

        wait_for(all_refused, "the refusals")
    context.destroy(0)
    address.unlink(missing_ok=True)
    real.rename(address)
    live.read(300)
    err = live.end()
    assert f"process {os.getpid()} (" in err
    assert err.count("unreadable body") == 1
    assert not hostile.DETONATED


#: One of the run's own processes, which nobody keeps from connecting.
SABOTEUR = """
from pathlib import Path

import zmq

from camagick.processor import ProcessorBase
from tests import assault, hostile


class Saboteur(ProcessorBase):
    def process(self, data, context):
        if data["n"] == 50:
            self.throw()
        return data

    def throw(self):
        folder = Path(self.placement.run_dir)
        for run in (bytes.fromhex(self.placement.run), bytes(8)):
            words = [
                frames for name, frames in hostile.corpus(run, 1, 0)
                if not name.endswith(" where data belongs")
            ]
            for path in assault.addresses(folder):
                if path.suffix in (".a", ".l"):
                    assert assault.say(zmq.PUSH, path, words) == len(words)
                elif path.suffix == ".ctl":
                    assert assault.say(zmq.DEALER, path, words) == len(words)
                else:
                    assault.subscribe(path, 5000)
        Path("thrown").write_text(str(2 * len(words)))
"""


@pytest.mark.parametrize("pipe", [CHAIN, FANOUT], ids=["chain", "fanout"])
def test_an_actor_that_says_what_it_likes_harms_nobody(pipe: list[str], tmp_path: Path) -> None:
    (tmp_path / "saboteur.py").write_text(SABOTEUR)
    pipe = [*pipe[:5], "--saboteur:Saboteur", *pipe[5:]]
    run = Run(pipe, tmp_path)
    try:
        run.read(400)
        many = int((tmp_path / "thrown").read_text())
        places = {"a": "back", "l": "loop"}

        def all_refused() -> bool:
            counts = run.refused()
            return counts["broker"] == {"broker": many} and all(
                counts[name].get(places[path.suffix[1:]]) == many
                for path in assault.addresses(run.folder) if path.suffix[1:] in places
                for name in counts if name.endswith(f".{path.stem}")
            )  # fmt: skip

        wait_for(all_refused, "the refusals")
        found = check_log(run.end())
    finally:
        run.process.kill()
    assert len(found) < 20 * len(places) * 3
    assert not hostile.DETONATED
