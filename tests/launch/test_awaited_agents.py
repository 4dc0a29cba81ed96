"""Agents that take their time: whoever waits for one can give up, and holds up nobody else."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.buses import DEADLINE_S, Run, caspy, wait_for
from tests.launch.test_agents import COUNT, LINE, TWO, exact, kill_one, more_rows, processes

if TYPE_CHECKING:
    from pathlib import Path

#: An agent that says nothing before it is let go, and ends with its launcher.
SLOW = """\
import os, pathlib, time
launcher = os.getppid()
while os.getppid() == launcher and not pathlib.Path({go!r}).exists():
    time.sleep(0.02)
from caspy.hosts.agent import serve
raise SystemExit(serve())
"""
#: Runs on c where b is lost.
ELSEWHERE = [word.replace("@b", "@b|c") for word in LINE]


def patched(folder: Path, *lines: str) -> str:
    """Return a PYTHONPATH with which caspy does something before it opens the way to hosts."""
    (folder / "sitecustomize.py").write_text(
        "import sys\n"
        "class First:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'caspy.hosts.opening':\n"
        "            from caspy.hosts import agreeing, talk\n"
        + "".join(f"            {line}\n" for line in lines)
        + "sys.meta_path.insert(0, First())\n"
    )
    return f"{folder}:{os.environ.get('PYTHONPATH', '')}"


@pytest.fixture
def hosts(tmp_path: Path) -> str:
    """Give a hosts file with a, b, and c, whose agent says nothing before `go` is there."""
    (tmp_path / "slow.py").write_text(SLOW.format(go=str(tmp_path / "go")))
    path = tmp_path / "hosts.toml"
    path.write_text(
        f'{TWO}[hosts.c]\nengine = "local"\ncommand = ["{sys.executable}", "{tmp_path}/slow.py"]\n'
    )
    return str(path)


def slow(run: Run) -> psutil.Process:
    """Return the agent of c, once it is there."""
    found: list[psutil.Process] = wait_for(lambda: processes(run, "slow.py-agent"), "c's agent")
    return found[0]


def lost(run: Run) -> psutil.Process:
    """Kill the link to b, and return the agent that is then asked to take its place."""
    wait_for(lambda: "\n50.0\t" in run.out, "rows")
    processes(run, "/@b")[0].kill()
    return slow(run)


def test_ctrl_c_while_a_host_is_waited_for(hosts: str) -> None:
    with Run("-hosts", hosts, *COUNT, "@a", "--npfun", "sum", "@c", "--to-summary", "@b") as run:
        slow(run)
        run.interrupt()
        assert run.wait() == 130
        said = r'WARNING:caspy.execute:msg="(@a, )?@c(, @b)?: given up, without an answer yet"\n'
        assert re.fullmatch(said, run.log)
        assert run.out == ""


def test_it_is_said_who_is_waited_for(
    hosts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What takes ten seconds is worth a word; here, what takes none.
    monkeypatch.setenv("PYTHONPATH", patched(tmp_path, "talk._NOTABLE_S = 0.0"))
    with Run("-hosts", hosts, "-count", "2", *COUNT, "@c", "--to-summary") as run:
        wait_for(lambda: "still waiting" in run.log, "a word")
        assert 'msg="no answer yet, still waiting" host=c\n' in run.log
        (tmp_path / "go").touch()
        assert run.wait() == 0
        assert run.out.splitlines() == ["n: [0.]", "n: [1.]"]


#: What Slurm's srun does, whose job for n2 waits in a queue; agents here do not wait long.
SRUN = """\
#!/bin/sh
while test "$7" = n2 -a ! -e {go} && test -d /proc/$PPID; do sleep 0.02; done
exec {python} -c "from caspy.hosts import agent; agent._ORDER_S = 1.0; exit(agent.serve())"
"""


def test_whoever_waits_in_a_queue_may_take_longer_and_others_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    srun, hosts = tmp_path / "srun", tmp_path / "hosts.toml"
    srun.write_text(SRUN.format(go=tmp_path / "go", python=sys.executable))
    srun.chmod(0o755)
    hosts.write_text("".join(f'[hosts.{name}]\nbind = "127.0.0.1"\n' for name in ("n1", "n2")))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    sooner = ["agreeing.HELLO_S = 2.0", "talk._WAIT_S = 0.2", "talk._NOTABLE_S = 3.0"]
    monkeypatch.setenv("PYTHONPATH", patched(tmp_path, *sooner))
    line = ("-engine", "slurm", "-count", "2", *COUNT, "@n1", "--to-summary", "@n2")
    with Run("-hosts", str(hosts), *line) as run:
        wait_for(lambda: 'still waiting" host=n2\n' in run.log, "a word")
        (tmp_path / "go").touch()
        assert run.wait() == 0
        assert run.out.splitlines() == ["n: [0.]", "n: [1.]"]


def test_an_actor_is_started_again_while_a_host_is_sought(hosts: str, tmp_path: Path) -> None:
    with Run("-hosts", hosts, *ELSEWHERE) as run:
        agent = lost(run)
        actor = processes(run, "/npfun.4")[0]
        actor.kill()
        wait_for(lambda: [one for one in processes(run, "/npfun.4") if one != actor], "another one")
        (tmp_path / "go").touch()
        more_rows(run)
        # None of the others, nor that one, keeps the channel open that c's agent ends with.
        kill_one(run, "/@c")
        agent.wait(DEADLINE_S)
        run.interrupt()
        assert run.wait() == 0
        assert exact(run.out)


def test_whoever_is_sought_is_not_waited_for_when_all_is_stopped(hosts: str) -> None:
    with Run("-hosts", hosts, *ELSEWHERE) as run:
        lost(run)
        run.interrupt_twice()
        assert run.wait() == 130
        assert "iterations made: " in run.log
        assert exact(run.out)


def test_a_host_that_is_no_use_is_passed_over(hosts: str, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("raise SystemExit('no caspy here')")
    with Run("-hosts", hosts, *ELSEWHERE) as run:
        wait_for(lambda: "\n50.0\t" in run.out, "rows")
        kill_one(run, "/@b")
        run.interrupt()
        assert run.wait() == 0
        assert exact(run.out)
        assert "no caspy here" in run.log


def test_where_nobody_can_be_found_the_run_ends(tmp_path: Path) -> None:
    path = tmp_path / "hosts.toml"
    path.write_text(
        TWO + 'command = ["sh", "-c", "test -e once && exit 3; touch once; exec'
        f' {sys.executable} -m caspy -agent"]\n'
    )
    with Run("-hosts", str(path), *LINE, cwd=tmp_path) as run:
        wait_for(lambda: "\n50.0\t" in run.out, "rows")
        processes(run, "/@b")[0].kill()
        assert run.wait() == 1
        assert exact(run.out)
        assert "@b: its agent has ended (exit code 3)" in run.log
        assert "iterations made: " in run.log


def test_many_silent_hosts_are_ended_together(tmp_path: Path) -> None:
    """Each is killed when it does not end by itself; not each when its turn has come."""
    names = "abcdefghijklmnopqrstuvwxy"
    path = tmp_path / "hosts.toml"
    silent = 'engine = "local"\ncommand = ["sh", "-c", "sleep 600; :"]\n'
    path.write_text("".join(f"[hosts.{name}]\n{silent}" for name in names))
    pipes = [word for name in names for word in ("--rename", f"{{}}{name}", f"@{name}")]
    with Run("-hosts", str(path), *COUNT, *pipes, "--to-summary") as run:
        wait_for(lambda: len(psutil.Process(run.process.pid).children()) == len(names), "agents")
        run.interrupt()
        assert run.wait() == 130  # within 40 s


def test_a_wrong_host_is_said_though_others_are_silent(hosts: str, tmp_path: Path) -> None:
    (tmp_path / "hosts.toml").write_text(
        (tmp_path / "hosts.toml").read_text().replace(TWO, f'{TWO}command = ["false"]\n')
    )
    done = caspy("-hosts", hosts, *COUNT, "@c", "--npfun", "sum", "@b", "--to-summary")
    assert done.returncode == 2
    assert "@b: its agent has ended (exit code 1)" in done.stderr
