"""Before a run over several hosts: agents are started, agreed with, and given their orders."""

from __future__ import annotations

import contextlib
import logging
import math
import os
from typing import TYPE_CHECKING, Any

from camagick_broker.keys import Keys, fresh
from camagick_broker.network import Network
from caspy.crew import ALONE, FIRST, Beginning, Post
from caspy.hosts.agreeing import (
    ANSWER_S,
    HELLO_S,
    Agent,
    agree,
    check_codecs,
    home_address,
)
from caspy.hosts.order import order
from caspy.hosts.outpost import Outpost, end
from caspy.hosts.outposts import Outposts
from caspy.hosts.ports import needed, reserve
from caspy.hosts.renewal import Renewal
from caspy.hosts.talk import Question, Talk, together
from caspy.placement import HOME

if TYPE_CHECKING:
    import select
    from collections.abc import Callable, Iterator, Mapping

    from caspy.hosts.places import Places
    from caspy.hosts.talk import Questions
    from caspy.plan import Plan
    from caspy.policy import Policy

log = logging.getLogger(__name__)

#: How long an agent may take to make its processors.
_READY_S = 60.0


@contextlib.contextmanager
def opened(
    plan: Plan, places: Places, policy: Policy, given_up: Callable[[], bool]
) -> Iterator[tuple[Post, Outposts]]:
    """Have an agent with its order on every other host of a plan.

    Raises
    ------
    PlanError
        When one cannot be had, or cannot do its part; says which, and why.
    GivenUpError
        When `given_up` says so before all of them have answered.
    """
    if not plan.hosts:
        yield ALONE, Outposts()
        return
    agents: list[Agent] = []
    holds = contextlib.ExitStack()
    try:
        for host in plan.hosts:  # all of them at once: each takes its time
            agent = Agent(host, places.hosts.get(host.split("|")[0]), places)
            agents.append(agent)
        patience = [math.inf if agent.queues else HELLO_S for agent in agents]
        together(list(map(Talk, agents, map(agree, agents, patience))), given_up)
        home = home_address(agents, places)
        keys = {} if places.insecure else {actor.number: fresh() for actor in plan.actors}
        if places.insecure:
            log.warning('msg="-insecure: whoever reaches these hosts can read this run, and write"')
        check_codecs(plan, agents, places)
        ports = reserve(home, _count(plan, HOME), places.ports, holds)
        post = Post(HOME, _networks(plan, HOME, home, keys, ports, places))
        orders = [_instruct(agent, plan, keys, places, policy) for agent in agents]
        instructed = together(list(map(Talk, agents, orders)), given_up)
    except BaseException:
        end(*[agent.close() for agent in agents])
        holds.close()
        raise

    def again(lost: Outpost, begin: Beginning, poll: select.epoll) -> Renewal:
        def start(alias: str) -> Talk[Outpost]:
            agent = Agent(lost.host, places.hosts.get(alias), places)
            return Talk(agent, _renew(agent, plan, keys, places, policy, begin))

        return Renewal(_behind(lost), start, begin, poll)

    with holds:
        yield post, Outposts(instructed, again)


def _count(plan: Plan, host: str) -> int:
    """Return how many ports the actors of a host need."""
    return sum(map(len, needed(plan, host).values()))


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
                    keys.get(actor.number),
                    {number: keys[number].public for number in others & wiring.far & keys.keys()},
                    places.codec_between(host, hosts[wiring.consumers[0]])
                    if wiring.sends_far
                    else "",
                )
    return made


def _instruct(
    agent: Agent, plan: Plan, keys: Mapping[int, Keys], places: Places, policy: Policy,
    begin: Beginning = FIRST,
) -> Questions[Outpost]:  # fmt: skip
    """Give an agent its order, and learn that it has understood."""
    wanted = {
        "address": agent.address, "count": _count(plan, agent.host), "range": list(places.ports)
    }  # fmt: skip
    answer = yield Question("ports", ANSWER_S, "reserve", wanted)
    networks = _networks(plan, agent.host, agent.address, keys, list(answer["ports"]), places)
    post = Post(agent.host, networks, agent.ahead_ns)
    told = {
        **order(plan, agent.host, post, policy, begin), "cwd": os.getcwd(),
        "folder": f"{plan.bus[:24]}.{agent.process.pid}", "patience": places.patience_s,
        "cores": agent.known.cores,
    }  # fmt: skip
    yield Question("ready", _READY_S, "order", told)
    return Outpost(
        agent.host, agent.known.alias, agent.process, agent.channel, places.patience_s,
        plan.at(agent.host),
    )  # fmt: skip


def _renew(agent: Agent, *arguments: Any) -> Questions[Outpost]:
    """Agree with the agent in the place of a lost one, and give it its order."""
    yield from agree(agent, HELLO_S)
    return (yield from _instruct(agent, *arguments))


def _behind(lost: Outpost) -> list[str]:
    """Return the hosts where actors of a lost one may be: the next ones first, itself last."""
    choice = lost.host.split("|")
    first = choice.index(lost.alias) if lost.alias in choice else 0
    return choice[first + 1 :] + choice[: first + 1]
