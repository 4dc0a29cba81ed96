"""Agents: parts of a run that other hosts would have, here on this one. Really killed.

What needs a network of its own stands in tests/test_hosts.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.buses import CASPY, DEADLINE_S, Run, card_of, caspy, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TWO = '[hosts.a]\nengine = "local"\n[hosts.b]\nengine = "local"\n'
LINE = shlex.split(
    "--from-scratch counter n=1 rate=300 @a { [ @b --npfun sum --rename s ]"
    " [ @local --npfun max --rename m ] [ @b --npfun min --rename i ] } --to-summary mode=table"
)
#: An agent of another version.
OLD = """\
import struct, msgpack, sys
hello = msgpack.packb({'op': 'hello', 'version': '0.0', 'protocol': 0})
sys.stdout.buffer.write(struct.pack('!I', len(hello)) + hello)
sys.stdout.flush()
sys.stdin.read()
"""
#: What some hosts say to everybody who comes.
WELCOME = """\
import os, sys
os.write(1, b'Welcome to daq1, Linux 6.1, and a long message of the day')
sys.stdin.read()
"""
COUNT = ["--from-scratch", "counter", "n=1"]
#: What the log says of a lost source, where the sinks still ran.
LOSSES = (
    r"made: (\d+) or more; safe in all sinks: (\d+); lost: (\d+) or more, (\d+) at most"
    r'" source=scratch.1 host=a'
)


@pytest.fixture
def hosts(tmp_path: Path) -> str:
    path = tmp_path / "hosts.toml"
    path.write_text(TWO)
    return str(path)


def rows(text: str) -> list[list[float]]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return [[float(word) for word in line.split("\t")] for line in lines]


def exact(text: str) -> int:
    """Return how many iterations came, each once, in order, all of each together."""
    found = rows(text)
    assert found == [[float(number)] * 3 for number in range(len(found))]
    return len(found)


def found(pattern: str, text: str) -> tuple[str, ...]:
    """Return the groups of what is looked for."""
    match = re.search(pattern, text)
    assert match is not None, text
    return match.groups()


def with_agent_that(folder: Path, does: str, patch: str = "") -> str:
    """Return a hosts' file in which the agent of b does something before it ends its processes."""
    (folder / "agent.py").write_text(
        "import os, time\n"
        "from caspy.hosts.agent import serve\n"
        "from caspy.supervisor import Supervisor\n"
        "def more(real):\n"
        "    def method(self):\n"
        f"        {does}\n"
        "        real(self)\n"
        "    return method\n"
        "Supervisor.cut = more(Supervisor.cut)\n"
        "Supervisor.finish = more(Supervisor.finish)\n"
        f"{patch}\n"
        "raise SystemExit(serve())\n"
    )
    path = folder / "hosts.toml"
    path.write_text(f'{TWO}command = ["{sys.executable}", "{folder}/agent.py"]\n')
    return str(path)


def processes(run: Run, *names: str) -> list[psutil.Process]:
    """Return those of a run whose title ends so, the newest last."""
    found = []
    for child in psutil.Process(run.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has just ended
            if "".join(child.cmdline()).endswith(names):
                found.append(child)
    return sorted(found, key=psutil.Process.create_time)


def kill_one(run: Run, name: str) -> None:
    """Kill the newest process of that name, and wait until there is more output again."""
    victim = wait_for(lambda: processes(run, name), name)[-1]
    victim.kill()
    more_rows(run)


def more_rows(run: Run) -> None:
    """Wait until there is more output than now."""
    before = len(run.out)
    wait_for(lambda: len(run.out) > before + 300, "more rows")


def agent_of(run: Run, name: str) -> psutil.Process:
    """Return the agent that has started an actor."""
    agent = processes(run, name)[0].parent()
    assert agent is not None
    return agent


def idle(process: psutil.Process) -> Callable[[], bool]:
    """Return what tells whether a process has done nothing since it was asked last."""
    seen: list[float] = []

    def look() -> bool:
        time.sleep(0.1)
        seen.append(sum(process.cpu_times()[:2]))
        return seen[-2:] == [seen[-1]] * 2

    return look


def test_over_three_hosts_as_on_one(hosts: str) -> None:
    local = [word for word in LINE if not word.startswith("@")]
    one = caspy("-count", "20", *local)
    several = caspy("-hosts", hosts, "-count", "20", *LINE)
    assert (several.returncode, several.stderr) == (0, "")
    assert several.stdout == one.stdout


def test_a_signal_drains_all_hosts(hosts: str) -> None:
    with Run("-hosts", hosts, *LINE) as run:
        wait_for(lambda: "\n50.0\t" in run.out, "rows")
        run.process.send_signal(signal.SIGINT)
        assert run.wait() == 0
        assert exact(run.out) > 50


def test_kills_lose_nothing_and_double_nothing(hosts: str) -> None:
    with Run("-hosts", hosts, "-restart", "20", *LINE) as run:
        for name in ("scratch.1", "npfun.2", "relay.9", "npfun.4", "broker", "relay.10"):
            kill_one(run, f"/{name}")
        run.process.send_signal(signal.SIGINT)
        assert run.wait() == 0
        assert exact(run.out)


def test_a_killed_source_sends_its_large_frames_again(hosts: str) -> None:
    line = shlex.split(
        "-window 64 --from-scratch counter n=20000 rate=1e9 @a --rename {}_v @b"
        " { [ --npfun max --rename m ] [ --npfun min --rename i ] } --to-summary mode=table"
    )
    with Run("-hosts", hosts, "-restart", "20", *line) as run:
        for _ in range(3):
            more_rows(run)
            source, reader = (processes(run, name)[-1] for name in ("/scratch.1", "/rename.2"))
            reader.suspend()
            wait_for(idle(source), "a source that may not send more")
            source.kill()  # much of what it sent lies in buffers of its process, which go with it
            reader.kill()  # and all of it is wanted again
        more_rows(run)
        run.process.send_signal(signal.SIGINT)
        assert run.wait() == 0
        assert rows(run.out) == [[float(number)] * 2 for number in range(len(rows(run.out)))]


@pytest.mark.parametrize("codec", ["lz4", "bslz4"])
def test_large_arrays_are_compressed(hosts: str, codec: str) -> None:
    line = shlex.split("--from-scratch linspace x=100000 @a --npfun sum @b --to-summary")
    done = [
        caspy("-hosts", hosts, "-count", "3", *options, *line)
        for options in ([], ["-compress", codec])
    ]
    assert [(one.returncode, one.stderr) for one in done] == [(0, ""), (0, "")]
    assert done[0].stdout == done[1].stdout


def test_what_passes_between_hosts_is_listed(hosts: str) -> None:
    with Run("-bus", "crossing", "-hosts", hosts, *LINE):
        card_of("crossing")

        def listed() -> list[list[str]]:
            table = caspy("-ls", "crossing").stdout.partition("over the network")[2]
            return [line.split() for line in table.splitlines()[1:]]

        wait_for(lambda: all(line[-2] != "0" for line in listed()), "bytes a second")
        assert [line[:-2] for line in listed()] == [
            ["relay.9", "@a", "relay.10", "@b"],
            ["relay.11", "@a", "npfun.4"],
            ["rename.3", "@b", "summary.8"],
            ["rename.7", "@b", "summary.8"],
        ]


def test_last_figures_arrive_of_actors_that_have_ended(hosts: str, tmp_path: Path) -> None:
    """Most often: they may be lost with their socket, but not because their process has gone."""
    complete = 0
    for number in range(8):
        path = tmp_path / str(number)
        done = caspy(
            "-hosts", hosts, "-count", "20", "-stats", str(path), *COUNT, "@a",
            "--npfun", "max", "@local", "--to-summary", f"path={tmp_path}/out",
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        complete += json.loads(path.read_text().splitlines()[-1])["complete"]
    assert complete >= 6


def test_without_keys_only_if_that_is_said_aloud(hosts: str) -> None:
    line = ("-hosts", hosts, "-count", "3", *COUNT, "@a", "--rename", "{}_v", "@b", "--to-summary")
    done = caspy("-insecure", *line)
    assert (done.returncode, done.stdout) == (0, "n_v: [0.]\nn_v: [1.]\nn_v: [2.]\n")
    (warning,) = done.stderr.splitlines()
    assert "whoever reaches these hosts can read this run, and write" in warning


def test_large_arrays_are_the_same_with_keys_and_without(hosts: str) -> None:
    pipes = "{ [ --rename {}_v @b ] [ @b --npfun max ] } --npfun sum @a --to-summary"
    words = shlex.split(f"--from-scratch counter x=65536 @a {pipes}")
    line = ("-hosts", hosts, "-count", "60", *words)
    one, other = caspy(*line), caspy("-insecure", *line)
    assert (one.returncode, other.returncode) == (0, 0)
    assert one.stdout.count("\n") == 120
    assert len(set(one.stdout.splitlines())) == 120
    assert one.stdout == other.stdout


def test_actors_keep_to_the_cores_they_are_given(tmp_path: Path) -> None:
    path = tmp_path / "hosts.toml"
    path.write_text(TWO.replace("[hosts.b]", "cores = 1\n[hosts.b]"))
    with Run("-hosts", str(path), *LINE) as run:
        wait_for(lambda: "\n5.0\t" in run.out, "rows")
        kept, free = (processes(run, name)[0].cpu_affinity() for name in ("/scratch.1", "/npfun.2"))
        assert kept == sorted(os.sched_getaffinity(0))[:1]
        assert free == sorted(os.sched_getaffinity(0))


def test_what_an_actor_prints_elsewhere_is_seen_here(hosts: str) -> None:
    done = caspy("-hosts", hosts, "-count", "3", *COUNT, "@a", "--to-summary", "@a")
    assert (done.returncode, done.stdout) == (0, "n: [0.]\nn: [1.]\nn: [2.]\n")


def test_a_failure_elsewhere_ends_the_run(hosts: str, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(
        "from camagick.processor import ProcessorBase\n"
        "class Stops(ProcessorBase):\n"
        "    def process(self, data, context):\n"
        "        if data['n'][0] > 5: raise ValueError('too many')\n"
        "        return data\n"
    )
    done = caspy(
        "-hosts", hosts, *COUNT, "--bad:Stops", "@a", "--to-summary",
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
    )  # fmt: skip
    assert done.returncode == 1
    assert "too many" in done.stderr
    assert done.stdout.splitlines() == [f"n: [{n}.]" for n in range(6)]


def test_a_killed_agent_ends_the_run_and_says_so(hosts: str) -> None:
    with Run("-hosts", hosts, *LINE) as run:
        wait_for(lambda: "\n50.0\t" in run.out, "rows")
        agent_of(run, "/scratch.1").kill()
        assert run.wait() == 1
        assert exact(run.out)
        assert "a host is lost" in run.log
        made, safe, lost, most = map(int, found(LOSSES, run.log))
        assert safe == len(rows(run.out)) <= made
        assert lost == made - safe <= most
        assert "Traceback" not in run.log


def test_a_slow_end_of_an_agent_costs_none_of_its_last_words(tmp_path: Path) -> None:
    hosts = with_agent_that(tmp_path, "time.sleep(0.5)")
    line = [*COUNT, *shlex.split("rate=300 @a --npfun sum @b --to-summary @b mode=table")]
    with Run("-hosts", hosts, *line) as run:
        wait_for(lambda: "\n50.0" in run.out, "rows")
        agent_of(run, "/scratch.1").kill()
        assert run.wait() == 1
        _, safe, _, _ = map(int, found(LOSSES, run.log))
        assert rows(run.out) == [[float(number)] for number in range(safe)]


def test_it_is_said_when_the_last_words_of_an_agent_are_missing(tmp_path: Path) -> None:
    hosts = with_agent_that(tmp_path, "[os.kill(one.pid, 9) for one in self._of('gate')]")
    done = caspy("-hosts", hosts, "-count", "3", *COUNT, "@a", "--to-summary", "@b")
    assert done.returncode == 0
    assert "its agent has ended before its last words" in done.stderr
    assert "host=b" in done.stderr
    assert "lost" not in done.stderr


def test_an_agent_that_is_told_to_end_while_it_ends_leaves_nothing_behind(tmp_path: Path) -> None:
    # The link, which has lost its gate, tells it so in the middle of this.
    slowly = (
        "import shutil\n"
        "remove = shutil.rmtree\n"
        "shutil.rmtree = lambda *args, **kw: (time.sleep(0.3), remove(*args, **kw))"
    )
    hosts = with_agent_that(tmp_path, "[os.kill(one.pid, 9) for one in self._of('gate')]", slowly)
    done = caspy("-hosts", hosts, "-count", "3", *COUNT, "@a", "--to-summary", "@b")
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)


def test_nothing_is_left_when_the_launcher_is_killed(hosts: str) -> None:
    with Run("-hosts", hosts, *LINE) as run:
        wait_for(lambda: "\n50.0\t" in run.out, "rows")
        left = psutil.Process(run.process.pid).children(recursive=True)
        assert len(left) > 10
        run.process.kill()
        wait_for(lambda: not any(child.is_running() for child in left), "their end")


@pytest.mark.parametrize(
    ("agent", "reason"),
    [
        (WELCOME, "not a message"),
        ("import sys; sys.exit('no caspy here')", r"has ended \(exit code 1\)"),
        (OLD, "it has caspy 0.0 .*install the same on both"),
    ],
)
def test_what_is_no_agent(agent: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text(agent)
    (tmp_path / "hosts.toml").write_text(
        f'[hosts.a]\nengine = "local"\ncommand = ["{sys.executable}", "{tmp_path}/agent.py"]\n'
    )
    done = caspy("-hosts", str(tmp_path / "hosts.toml"), *COUNT, "@a", "--to-summary")
    assert done.returncode == 2
    assert re.search(f"@a: .*{reason}", done.stderr), done.stderr
    assert "Traceback" not in done.stderr


def test_a_carrier_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "hosts.toml").write_text(
        '[hosts.a]\nengine = "local"\ncommand = "/no/such/caspy"\n'
    )
    done = caspy("-hosts", str(tmp_path / "hosts.toml"), *COUNT, "@a", "--to-summary")
    assert (done.returncode, done.stdout) == (2, "")
    assert "@a: cannot start /no/such/caspy: No such file or directory" in done.stderr


def test_an_agent_is_nothing_for_people() -> None:
    done = subprocess.run(
        [*CASPY, "-agent"], stdin=subprocess.DEVNULL, capture_output=True, check=False,
        timeout=DEADLINE_S,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, b"")  # its input has ended


def test_an_agent_ends_when_it_is_told_to() -> None:
    """Before anybody has given it an order; some systems end so what a user has left running."""
    with subprocess.Popen(
        [*CASPY, "-agent"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as agent:
        assert agent.stdout is not None
        agent.stdout.read(4)  # it has begun to say hello
        agent.terminate()
        assert agent.wait(DEADLINE_S) == 0
        assert agent.stderr is not None
        assert agent.stderr.read() == b""


def test_an_agent_that_is_told_to_end_in_a_run_takes_all_of_its_own_with_it(hosts: str) -> None:
    with Run("-hosts", hosts, *LINE) as run:
        wait_for(lambda: "\n50.0\t" in run.out, "rows")
        source = processes(run, "/scratch.1")[0]
        agent_of(run, "/scratch.1").terminate()
        assert run.wait() == 1
        assert exact(run.out)
        assert "a host is lost" in run.log
        assert "Traceback" not in run.log
        assert not source.is_running()


def test_no_secret_can_be_seen(hosts: str) -> None:
    """Not in command lines and environments: the keys of all actors go through the channel."""
    with Run("-hosts", hosts, *LINE) as run:
        wait_for(lambda: "\n5.0\t" in run.out, "rows")
        for child in psutil.Process(run.process.pid).children(recursive=True):
            shown = " ".join(child.cmdline())
            assert not any(len(word) == 40 for word in shown.split())
        run.process.send_signal(signal.SIGINT)
        assert run.wait() == 0


def test_what_is_repeatable_is_started_again_on_the_next_host(hosts: str) -> None:
    """Pipes lose nothing with their host: what they had under way is kept before and behind."""
    line = [word.replace("@b", "@b|a") for word in LINE]
    with Run("-hosts", hosts, *line) as run:
        for alias in "b", "a":
            wait_for(lambda: "\n50.0\t" in run.out, "rows")
            kill_one(run, f"/@{alias}")
        run.process.send_signal(signal.SIGINT)
        assert run.wait() == 0
        assert exact(run.out)
        assert "its actors are started again" in run.log


def test_what_was_done_before_a_lost_host_ended_is_not_waited_for(tmp_path: Path) -> None:
    """Its actors may do the last there is to do after it was lost, and nobody hears it of them."""
    hosts = with_agent_that(tmp_path, "time.sleep(2)")
    with Run("-hosts", hosts, *LINE) as run:
        wait_for(lambda: "\n50.0\t" in run.out, "rows")
        processes(run, "/@b")[0].kill()
        run.process.send_signal(signal.SIGINT)
        assert run.wait() == 0
        assert exact(run.out)
        assert "nothing was left to do for the actors of a lost host" in run.log


def test_a_host_that_has_done_its_last_is_not_lost(tmp_path: Path) -> None:
    """Its source would be, but that all of it is safe was heard before."""
    never = "step = Supervisor.step; Supervisor.step = lambda *told: step(*told) or True"
    hosts = with_agent_that(tmp_path, "pass", never)  # it does not say that all have ended
    with Run("-hosts", hosts, "-count", "3", *COUNT, "@b", "--to-summary", "@local") as run:
        source = wait_for(lambda: processes(run, "/scratch.1"), "the source")[0]
        wait_for(lambda: not source.is_running(), "its end")
        link = processes(run, "/@b")[0]
        wait_for(idle(link), "what the source noted last, which is told ten times a second")
        link.kill()
        assert run.wait() == 0
        assert run.out.splitlines() == [f"n: [{n}.]" for n in range(3)]
        assert "iterations made" not in run.log


def test_no_host_is_lost_where_all_is_stopped_at_once(hosts: str) -> None:
    """A second Ctrl-C kills all actors, of other hosts too; no host is lost by that."""
    with Run("-hosts", hosts, *LINE) as run:
        wait_for(lambda: "\n50.0\t" in run.out, "rows")
        run.interrupt_twice()
        assert run.wait() == 130
        assert "lost" not in run.log
        assert "last words" not in run.log


def test_a_lost_host_is_not_waited_for_when_all_is_stopped(hosts: str) -> None:
    with Run("-hosts", hosts, *LINE) as run:
        wait_for(lambda: "\n50.0\t" in run.out, "rows")
        processes(run, "/@b")[0].kill()
        wait_for(lambda: "its actors are started again" in run.log, "the loss")
        run.interrupt_twice()
        assert run.wait() == 130
        assert "iterations made: " in run.log
