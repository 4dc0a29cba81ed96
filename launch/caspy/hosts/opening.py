"""Before a run over several hosts: agents are started, agreed with, and given their orders."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from camagick import __version__
from camagick_broker.keys import Keys, fresh
from camagick_broker.network import Network
from camagick_broker.squeeze import is_there
from camagick_broker.wire import VERSION
from camagick_broker.wiring import LIVES
from caspy.crew import ALONE, FIRST, Beginning, Post
from caspy.errors import PlanError
from caspy.hosts import engine
from caspy.hosts.channel import Channel, ChannelError
from caspy.hosts.order import order
from caspy.hosts.outpost import Outpost, Outposts, end
from caspy.hosts.ports import ANY, needed, reserve
from caspy.hostsfile import Hosts
from caspy.placement import HOME

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping

    from camagick_broker.ledger import Ledger
    from caspy.hostsfile import Host
    from caspy.plan import Plan
    from caspy.policy import Policy

log = logging.getLogger(__name__)

#: How long an agent may take to say hello, to find ports, and to make its processors.
_HELLO_S, _ANSWER_S, _READY_S = 60.0, 15.0, 60.0
_LOOKS_AT_THE_CLOCK = 7
#: Clocks further apart than this are worth a word.
_NOTABLE_NS = 50_000_000
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Places:
    """Where a run may go.

    Attributes
    ----------
    hosts
        The hosts file.
    engine
        How agents are started, where the hosts file does not say: 'ssh', 'slurm', 'local'.
    ports
        The lowest and the highest port that actors bind; (0, 0) leaves it to the system.
    patience_s
        For so long another host may be silent before it is given up.
    codec
        How large arrays are compressed between hosts, where the hosts file does not say; '': not.
    """

    hosts: Hosts = field(default_factory=Hosts)
    engine: str = "ssh"
    ports: tuple[int, int] = ANY
    patience_s: float = PATIENCE_S
    codec: str = ""

    def codec_between(self, one: str, other: str) -> str:
        """Return how arrays are compressed on their way from one host to another."""
        for alias in (one.split("|")[0], other.split("|")[0]):
            if alias in self.hosts and (codec := self.hosts.get(alias).compress) is not None:
                return codec
        return self.codec


class _Agent:
    """One agent, before the run."""

    def __init__(self, host: str, known: Host, places: Places) -> None:
        self.host, self.known = host, known
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
        self.networks: dict[int, Network] = {}

    def ask(self, op: str, seconds: float, **content: Any) -> dict[str, Any]:
        """Tell the agent something, and return what it answers."""
        if content or op == "time":
            self.channel.send({"ports": "reserve", "ready": "order"}.get(op, op), **content)
        try:
            return self._expect(op, seconds)
        except TimeoutError:
            raise self.wrong(f"no answer within {seconds:g} s") from None
        except EOFError:
            with contextlib.suppress(Exception):
                self.process.wait(1.0)
            text = f"its agent has ended (exit code {self.process.poll()})"
            raise self.wrong(f"{text}; what it said last stands above") from None
        except ChannelError as error:
            raise self.wrong(str(error)) from None

    def close(self) -> None:
        """End it, where it does not become an outpost."""
        self.channel.close()
        end(self.process)

    def wrong(self, text: str) -> PlanError:
        """Return what is wrong with this host, and how to look at it."""
        words = engine.command(self.known, "ssh")
        return PlanError(f"@{self.known.alias}: {text} (it was started with {words[0]})")

    def _expect(self, op: str, seconds: float) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        message = self.channel.expect(op, "problem", deadline=deadline)
        if message["op"] == "problem":
            raise PlanError(f"@{self.known.alias}: {message['text']}")
        return message


@contextlib.contextmanager
def opened(plan: Plan, places: Places, policy: Policy) -> Iterator[tuple[Post, Outposts]]:
    """Have an agent with its order on every other host of a plan.

    Raises
    ------
    PlanError
        When one cannot be had, or cannot do its part; says which, and why.
    """
    if not plan.hosts:
        yield ALONE, Outposts()
        return
    agents: list[_Agent] = []
    try:
        for host in plan.hosts:  # all of them at once: each takes its time
            agent = _Agent(host, places.hosts.get(host.split("|")[0]), places)
            agents.append(agent)
        for agent in agents:
            _agree(agent)
        home = _home(agents, places)
        keys = {actor.number: fresh() for actor in plan.actors}
        _check_codecs(plan, agents, places)
        ports = _found(plan, HOME, home, places)
        post = Post(HOME, _networks(plan, HOME, home, keys, ports, places))
        instructed = [_instruct(agent, plan, keys, places, policy) for agent in agents]
    except BaseException:
        for agent in agents:
            agent.close()
        raise

    def again(lost: Outpost, times: int, ledger: Ledger) -> Outpost:
        return _renewed(lost, times, ledger, plan, keys, places, policy)

    yield post, Outposts(instructed, again)


def _check_codecs(plan: Plan, agents: list[_Agent], places: Places) -> None:
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


def _agree(agent: _Agent) -> None:
    """Learn who an agent is, and refuse one of another version."""
    hello = agent.ask("hello", _HELLO_S)
    if hello.get("protocol") != VERSION or hello.get("version") != __version__:
        raise agent.wrong(
            f"it has caspy {hello.get('version')} (protocol {hello.get('protocol')}), and here is"
            f" {__version__} (protocol {VERSION}): install the same on both"
        )
    agent.has_codecs = bool(hello.get("codecs"))
    agent.ssh = [str(one) for one in hello.get("ssh", [])]
    agent.address = agent.known.bind or _address(agent, str(hello.get("hostname", "")))
    agent.ahead_ns = _ahead(agent)
    if abs(agent.ahead_ns) > _NOTABLE_NS:
        log.warning(
            'msg="a clock differs, times are corrected" host=%s ahead_s=%.3f', agent.known.alias,
            agent.ahead_ns / 1e9,
        )  # fmt: skip


def _ahead(agent: _Agent) -> int:
    """Return by how much an agent's clock is ahead, in ns; from the quickest of some answers.

    As in NTP (RFC 5905): the answer was given in the middle of the time that it took.
    """
    found = []
    for _ in range(_LOOKS_AT_THE_CLOCK):
        began = time.time_ns()
        there = agent.ask("time", _ANSWER_S)["ns"]
        ended = time.time_ns()
        found.append((ended - began, there - (began + ended) // 2))
    return int(min(found)[1])


def _address(agent: _Agent, hostname: str) -> str:
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


def _home(agents: list[_Agent], places: Places) -> str:
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


def _found(plan: Plan, host: str, address: str, places: Places) -> list[int]:
    return reserve(address, sum(map(len, needed(plan, host).values())), places.ports)


def _networks(
    plan: Plan, host: str, address: str, keys: Mapping[int, Keys], ports: list[int],
    places: Places,
) -> dict[int, Network]:  # fmt: skip
    """Return what the actors of a host have on the network: those that talk with other hosts."""
    left = iter(ports)
    made = {}
    hosts = {actor.number: actor.host for actor in plan.actors}
    purposes = needed(plan, host)
    for pipe in plan.pipes:
        for actor in pipe.actors:
            wiring = plan.wiring(pipe, actor, "")
            others = {*wiring.inputs, *wiring.consumers, *wiring.heads, *wiring.reporters}
            if actor.host == host and others & wiring.far:
                made[actor.number] = Network(
                    address,
                    {purpose: next(left) for purpose in purposes[actor.number]},
                    keys[actor.number],
                    {number: keys[number].public for number in others & wiring.far},
                    places.codec_between(host, hosts[wiring.consumers[0]])
                    if wiring.sends_far
                    else "",
                )
    return made


def _instruct(
    agent: _Agent, plan: Plan, keys: Mapping[int, Keys], places: Places, policy: Policy,
    begin: Beginning = FIRST,
) -> Outpost:  # fmt: skip
    """Give an agent its order, and wait until it has understood."""
    count = sum(map(len, needed(plan, agent.host).values()))
    answer = agent.ask(
        "ports", _ANSWER_S, address=agent.address, count=count, range=list(places.ports)
    )
    networks = _networks(plan, agent.host, agent.address, keys, list(answer["ports"]), places)
    post = Post(agent.host, networks, agent.ahead_ns)
    agent.ask(
        "ready", _READY_S, **order(plan, agent.host, post, policy, begin), cwd=os.getcwd(),
        folder=f"{plan.bus[:24]}.{agent.process.pid}", patience=places.patience_s,
    )  # fmt: skip
    return Outpost(
        agent.host, agent.known.alias, agent.process, agent.channel, places.patience_s,
        plan.at(agent.host),
    )  # fmt: skip


def _renewed(
    lost: Outpost, times: int, ledger: Ledger, plan: Plan, keys: Mapping[int, Keys],
    places: Places, policy: Policy,
) -> Outpost:  # fmt: skip
    """Return an agent in the place of a lost one: on the next host that it may be on."""
    choice = lost.host.split("|")
    first = choice.index(lost.alias) if lost.alias in choice else 0
    begin = Beginning(times * LIVES + 1, _beginnings(plan, lost.host, ledger))
    problem = PlanError(f"@{lost.host}: nowhere to go")
    for alias in choice[first + 1 :] + choice[: first + 1]:
        agent = None
        try:
            agent = _Agent(lost.host, places.hosts.get(alias), places)
            _agree(agent)
            return _instruct(agent, plan, keys, places, policy, begin)
        except PlanError as error:
            problem = error
            if agent is not None:
                agent.close()
    raise problem


def _beginnings(plan: Plan, host: str, ledger: Ledger) -> dict[int, int]:
    """Return with which iteration each actor of a lost host begins anew.

    Its producers keep what has not ended behind it: from there on all can be made again. What they
    noted of that last is known, since nothing of the lost host can reach them any more.
    """
    found: dict[int, int] = {}
    for actor in plan.actors:  # producers stand before their consumers
        if actor.host == host:
            lows = (found.get(one, ledger[one].low) for one in actor.inputs)
            found[actor.number] = max(lows, default=0)
    return found
