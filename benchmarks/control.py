"""The control plane of a large bus: 1000 actors on 100 hosts start, report, and stop.

    python -m benchmarks.control [--actors 1000] [--hosts 100] [--seconds 10]

The broker and the launcher's link to each host are the real processes; each of the hosts is a pipe,
and at its end the agents and actors are simulated by this process: they register, wait for the
directory, are ready, report figures and how far they are as real ones do, and stop. What is
measured is what grows with their number: the time until all are going, the processor time of broker
and links while they run, how long a question (`caspy -ls`) takes, and the time to stop.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import select
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / name) for name in (".", "broker", "actors", "launch")]

import psutil  # noqa: E402

from benchmarks import machine  # noqa: E402
from benchmarks.processes import own_cpu_seconds  # noqa: E402
from camagick_broker.control import hear, say  # noqa: E402
from camagick_broker.inquiry import Inquiry  # noqa: E402
from camagick_broker.ledger import Ledger  # noqa: E402
from caspy.helpers import serve_broker  # noqa: E402
from caspy.hosts.channel import Channel  # noqa: E402
from caspy.hosts.link import Link  # noqa: E402
from caspy.process import HELD, fork  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

RESULTS = Path(__file__).with_name("results")
DEADLINE_S = 300.0
_ROWS_S, _REPORT_S = 0.1, 1.0
#: What an actor reports, as one with one input and one consumer does.
_FIGURES = {
    "seq": 12345, "busy_s": 12.5, "lifetime_s": 60.0, "latency_s": 0.001, "incarnation": 1,
    "out": {"messages": 12345, "bytes": 123456789, "kept": 8, "resends": 0},
    "in": {1: {"messages": 12345, "bytes": 123456789, "duplicates": 0, "gaps": 0}},
    "refused": {},
}  # fmt: skip


class Host:
    """A simulated agent with its actors, at the far end of the pipe to the link of a host.

    Parameters
    ----------
    run
        Identity of the run.
    numbers
        Of its actors.
    channel, inside
        To the link; and what the launcher's supervisor has of that link.
    """

    def __init__(self, run: bytes, numbers: range, channel: Channel, inside: Channel) -> None:
        self._run, self.numbers = run, numbers
        self.channel, self.inside = channel, inside
        self.peers = {b"%d.1" % number: number for number in numbers}
        self.informed: set[int] = set()
        self.going: set[int] = set()
        self.heard_bytes = 0
        self.ended = False

    def register(self) -> None:
        """Let every actor say where it is."""
        for number in self.numbers:
            self._say(number, {
                "op": "register", "name": f"npfun.{number}", "pid": os.getpid(), "incarnation": 1,
                "data": f"tcp://10.77.0.{number % 250}:{20000 + number}",
                "back": f"tcp://10.77.0.{number % 250}:{30000 + number}", "loop": "", "far": "",
                "multicast": False, "ready": number in self.informed, "going": False,
            })  # fmt: skip

    def report(self, *, final: bool = False) -> None:
        """Let every actor tell its figures."""
        for number in self.numbers:
            self._say(number, {"op": "statistics", "final": final, **_FIGURES})

    def tell_rows(self, words: bytes) -> None:
        """Tell how far every actor has come."""
        self.channel.send("rows", rows=dict.fromkeys(self.numbers, words))

    def listen(self) -> None:
        """Take what the link has handed on."""
        for message in self.channel.receive():
            if message["op"] == "ping":
                self.channel.send("pong")
            elif message["op"] == "drain":
                self.report(final=True)
                self.channel.send("ended", code=0)
            elif message["op"] == "down":
                self._hear(self.peers[message["peer"]], message["frame"])

    def listen_inside(self) -> None:
        """Take what the link tells the supervisor."""
        self.ended |= any(message["op"] == "ended" for message in self.inside.receive())

    def _hear(self, number: int, frame: bytes) -> None:
        self.heard_bytes += len(frame)
        # Real actors read the directory, each in its own process: that is not the control plane's.
        if number not in self.informed:
            if hear(frame, self._run)[1]["op"] == "directory":
                self.informed.add(number)
                self._say(number, {"op": "ready"})
        elif len(frame) < 1000 and hear(frame, self._run)[1]["op"] == "go":
            self.going.add(number)

    def _say(self, number: int, content: dict[str, Any]) -> None:
        frame = say(self._run, number, content)
        self.channel.send("up", peer=b"%d.1" % number, frame=frame)


class Plane:
    """The processes of a launcher's control plane, and the simulated hosts.

    Parameters
    ----------
    folder
        For the broker's socket.
    actors, hosts
        How many.
    """

    def __init__(self, folder: str, actors: int, hosts: int) -> None:
        self._folder, self._run = folder, os.urandom(8)
        self._poll = select.epoll()
        self._by_handle: dict[int, tuple[Host, Callable[[], None]]] = {}
        self._ledger = Ledger(actors)
        names = {number: f"npfun.{number}" for number in range(1, actors + 1)}
        self.broker = fork("bench: broker", lambda: serve_broker(self._run, folder, names))
        self.links: list[int] = []
        self.hosts: list[Host] = []
        share = actors // hosts
        for first in range(1, actors + 1, share):
            self._add_host(range(first, min(first + share, actors + 1)), actors)

    def turn(self, timeout_s: float) -> None:
        """Wait for something to happen, and let those answer whom it concerns."""
        for handle, event in self._poll.poll(timeout_s):
            host, take = self._by_handle[handle]
            if event & (select.EPOLLIN | select.EPOLLHUP):
                with contextlib.suppress(EOFError):
                    take()
            host.channel.flush()

    def until(self, test: Callable[[], bool], what: str) -> float:
        """Work until something is so; return how long that took, in seconds."""
        begin = time.monotonic()
        while not test():
            self.turn(0.01)
            if time.monotonic() > begin + DEADLINE_S:
                raise TimeoutError(f"not within {DEADLINE_S:g} s: {what}")
        return time.monotonic() - begin

    def run(self, seconds: float) -> None:
        """Let all of them report for so long."""
        begin = now = time.monotonic()
        rows_at = report_at = begin
        beat = 0
        while (now := time.monotonic()) < begin + seconds:
            if now >= rows_at:
                rows_at += _ROWS_S
                beat += 1
                for host in self.hosts:
                    host.tell_rows(beat.to_bytes(8, sys.byteorder) * 8)
            if now >= report_at:
                report_at += _REPORT_S
                for host in self.hosts:
                    host.report()
            self.turn(max(0.0, min(rows_at, report_at) - time.monotonic()))

    def ask(self) -> tuple[float, int]:
        """Return how long a question takes, in seconds, and how many actors the answer knows."""
        begin = time.monotonic()
        with Inquiry(self._run, self._folder) as inquiry:
            answer = inquiry.status(DEADLINE_S) or {}
        return time.monotonic() - begin, len(answer.get("statistics", {}))

    def close(self) -> None:
        """End all processes."""
        for host in self.hosts:
            host.channel.send("finished")  # the last word of an agent
        for pid in (*self.links, self.broker):
            os.kill(pid, signal.SIGTERM)
        for pid in (*self.links, self.broker):
            os.waitpid(pid, 0)
        for host in self.hosts:
            host.channel.close()
            host.inside.close()
        self._poll.close()

    def _add_host(self, numbers: range, actors: int) -> None:
        up, down, inner = os.pipe(), os.pipe(), os.pipe()
        outer = os.pipe()
        others = [number for number in range(1, actors + 1) if number not in numbers]

        def work() -> int:
            stopped: list[int] = []
            link = Link(
                self._folder, self._run, Channel(up[0], down[1]), Channel(outer[0], inner[1]),
                self._ledger, others, numbers, DEADLINE_S,
            )  # fmt: skip
            signal.signal(signal.SIGTERM, lambda *_: (stopped.append(1), link.port.ring()))
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)
            try:
                return link.run(lambda: bool(stopped))
            finally:
                link.close()

        self.links.append(fork(f"bench: link {numbers[0]}", work))
        for handle in (up[0], down[1], outer[0], inner[1]):
            os.close(handle)
        host = Host(self._run, numbers, Channel(down[0], up[1]), Channel(inner[0], outer[1]))
        self.hosts.append(host)
        for channel, take in ((host.channel, host.listen), (host.inside, host.listen_inside)):
            self._by_handle[channel.reads] = host, take
            self._poll.register(channel.reads, select.EPOLLIN)


def measure(actors: int, hosts: int, seconds: float) -> dict[str, Any]:
    """Return what a control plane of this size takes."""
    with tempfile.TemporaryDirectory(prefix="ctl") as folder:
        begin = time.monotonic()
        plane = Plane(folder, actors, hosts)
        try:
            found: dict[str, Any] = {"actors": actors, "hosts": hosts}
            found["fork_s"] = time.monotonic() - begin
            for host in plane.hosts:
                host.register()
            took = plane.until(
                lambda: sum(len(host.going) for host in plane.hosts) == actors, "all are going"
            )
            found["going_s"] = took
            found["start_cpu_broker_s"] = own_cpu_seconds(plane.broker)
            found["start_cpu_links_s"] = sum(map(own_cpu_seconds, plane.links))
            found["told_mb"] = sum(host.heard_bytes for host in plane.hosts) / 1e6
            found |= _running(plane, seconds)
            for host in plane.hosts:
                host.inside.send("drain")
            everybody = plane.hosts
            found["stop_s"] = plane.until(lambda: all(one.ended for one in everybody), "the end")
        finally:
            begin = time.monotonic()
            plane.close()
        found["closed_s"] = time.monotonic() - begin
    return found


def _running(plane: Plane, seconds: float) -> dict[str, Any]:
    """Return what it takes while all of them run."""
    plane.run(min(2.0, seconds))
    processes = (plane.broker, *plane.links)
    begin, before = time.monotonic(), [own_cpu_seconds(pid) for pid in processes]
    plane.run(seconds)
    took = time.monotonic() - begin
    cpu = [own_cpu_seconds(pid) - used for pid, used in zip(processes, before, strict=True)]
    answers = [plane.ask() for _ in range(5)]
    memory = [psutil.Process(pid).memory_full_info().uss / 1e6 for pid in processes]
    return {
        "broker_cpu": cpu[0] / took,
        "links_cpu": sum(cpu[1:]) / took,
        "question_s": statistics.median(seconds for seconds, _ in answers),
        "known": answers[-1][1],
        "broker_mb": memory[0],
        "links_mb": sum(memory[1:]),
    }


def main() -> None:
    """Measure, print, and write as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--actors", type=int, default=1000)
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long they run")
    parser.add_argument("--results", type=Path, default=RESULTS, help="a folder")
    options = parser.parse_args()
    # As the launcher does: each actor has a connection to the broker.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    found = measure(options.actors, options.hosts, options.seconds)
    print(f"{machine.line(machine.describe())}\n")
    print(f"{found['actors']} actors on {found['hosts']} hosts, which are simulated")
    print(f"  until all are going      {found['going_s']:8.2f} s   "
          f"(broker {found['start_cpu_broker_s']:.2f} s, links {found['start_cpu_links_s']:.2f} s "
          f"of processor time; {found['told_mb']:.0f} MB told)")  # fmt: skip
    print(f"  broker, while they run   {found['broker_cpu']:8.1%} of a core, "
          f"{found['broker_mb']:.0f} MB")  # fmt: skip
    print(f"  all links together       {found['links_cpu']:8.1%} of a core, "
          f"{found['links_mb']:.0f} MB")  # fmt: skip
    print(f"  a question (caspy -ls)   {found['question_s'] * 1000:8.1f} ms  "
          f"(the answer has figures of {found['known']} actors)")  # fmt: skip
    print(f"  until all have ended     {found['stop_s']:8.2f} s, and all processes after "
          f"{found['closed_s']:.2f} s more")  # fmt: skip
    options.results.mkdir(exist_ok=True)
    (options.results / "control.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
