"""Agents are started, and agreed with: who they are, what they have, how late it is there."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import socket
import time
from typing import TYPE_CHECKING, Any

from camagick import __version__
from camagick_broker.squeeze import is_there
from camagick_broker.wire import VERSION
from caspy.errors import PlanError
from caspy.hosts import engine
from caspy.hosts.channel import Channel, ChannelError
from caspy.hosts.talk import Question
from caspy.placement import HOME

if TYPE_CHECKING:
    import subprocess

    from caspy.hosts.places import Places
    from caspy.hosts.talk import Questions
    from caspy.hostsfile import Host
    from caspy.plan import Plan

log = logging.getLogger(__name__)

#: How long an agent may take to say hello, and to answer.
HELLO_S, ANSWER_S = 60.0, 15.0
_LOOKS_AT_THE_CLOCK = 7
#: Clocks further apart than this are worth a word.
_NOTABLE_NS = 50_000_000


class Agent:
    """One agent, before the run."""

    def __init__(self, host: str, known: Host, places: Places) -> None:
        self.host, self.known = host, known
        self._engine = known.engine or places.engine
        self.process: subprocess.Popen[bytes] = engine.start(known, places.engine)
        assert self.process.stdin is not None  # noqa: S101 - for the type checker
        assert self.process.stdout is not None  # noqa: S101
        self.channel = Channel(
            os.dup(self.process.stdout.fileno()), os.dup(self.process.stdin.fileno())
        )
        self.process.stdout.close()
        self.process.stdin.close()
        self.ssh: list[str] = []
        self.has_codecs = False
        self.address, self.ahead_ns = "", 0

    def hear(self, answer: str) -> dict[str, Any] | None:
        """Return the answer that has come, None where there is none yet.

        Raises
        ------
        PlanError
            Where there will be none, or it is none.
        """
        try:
            message = self.channel.find(answer, "problem")
        except EOFError:
            with contextlib.suppress(Exception):
                self.process.wait(1.0)
            text = f"its agent has ended (exit code {self.process.poll()})"
            raise self.wrong(f"{text}; what it said last stands above") from None
        except ChannelError as error:
            raise self.wrong(str(error)) from None
        if message is not None and message["op"] == "problem":
            raise PlanError(f"@{self.known.alias}: {message['text']}")
        return message

    @property
    def queues(self) -> bool:
        """Whether it may have to wait for resources, for as long as there are none."""
        return self._engine == "slurm"

    def close(self) -> subprocess.Popen[bytes]:
        """Let go of it, where it does not become an outpost; return it for `outpost.end`."""
        self.channel.close()
        return self.process

    def wrong(self, text: str) -> PlanError:
        """Return what is wrong with this host, and how to look at it."""
        words = engine.command(self.known, self._engine)
        return PlanError(f"@{self.known.alias}: {text} (it was started with {words[0]})")


def agree(agent: Agent, hello_s: float) -> Questions[None]:
    """Learn, within a time, who an agent is; refuse one of another version."""
    hello = yield Question("hello", hello_s)
    if hello.get("protocol") != VERSION or hello.get("version") != __version__:
        raise agent.wrong(
            f"it has caspy {hello.get('version')} (protocol {hello.get('protocol')}), and here is"
            f" {__version__} (protocol {VERSION}): install the same on both"
        )
    agent.has_codecs = bool(hello.get("codecs"))
    agent.ssh = [str(one) for one in hello.get("ssh", [])]
    agent.address = agent.known.bind or _address(agent, str(hello.get("hostname", "")))
    agent.ahead_ns = yield from _ahead()
    if abs(agent.ahead_ns) > _NOTABLE_NS:
        log.warning(
            'msg="a clock differs, times are corrected" host=%s ahead_s=%.3f', agent.known.alias,
            agent.ahead_ns / 1e9,
        )  # fmt: skip


def _ahead() -> Questions[int]:
    """Return by how much an agent's clock is ahead, in ns; from the quickest of some answers.

    As in NTP (RFC 5905): the answer was given in the middle of the time that it took.
    """
    found = []
    for _ in range(_LOOKS_AT_THE_CLOCK):
        began = time.time_ns()
        there = (yield Question("time", ANSWER_S, "time"))["ns"]
        ended = time.time_ns()
        found.append((ended - began, there - (began + ended) // 2))
    return int(min(found)[1])


def _address(agent: Agent, hostname: str) -> str:
    """Return the address by which others reach a host: the one that ssh used."""
    if len(agent.ssh) == 4:
        return agent.ssh[2]
    if (agent.known.engine or "") == "local":
        return "127.0.0.1"
    try:
        return str(socket.getaddrinfo(hostname, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError:
        raise agent.wrong(
            f"nobody knows an address of {hostname}: give it in the hosts file, bind ="
        ) from None


def home_address(agents: list[Agent], places: Places) -> str:
    """Return the address by which the other hosts reach this one."""
    if "home" in places.hosts and (bind := places.hosts.get("home").bind):
        return bind
    for agent in agents:
        if len(agent.ssh) == 4:
            return agent.ssh[0]
    if all(ipaddress.ip_address(agent.address).is_loopback for agent in agents):
        return "127.0.0.1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((agents[0].address, 9))  # nothing is sent: it says which way it would go
        return str(sock.getsockname()[0])


def check_codecs(plan: Plan, agents: list[Agent], places: Places) -> None:
    """See that whoever compresses has what that needs, and whoever is sent it, too."""
    hosts = [HOME, *plan.hosts]
    if not any(
        places.codec_between(one, other) for one in hosts for other in hosts if one != other
    ):
        return
    lacking = ["here"] if not is_there() else []
    lacking += [f"@{agent.known.alias}" for agent in agents if not agent.has_codecs]
    if lacking:
        raise PlanError(
            f"compression between hosts needs numcodecs, which is not installed {lacking[0]}:"
            " pip install '.[links]' there"
        )
