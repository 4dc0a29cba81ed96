"""Before a run over several hosts: agents are started, agreed with, and given their orders."""

from __future__ import annotations

import contextlib
import logging
import os
from typing import TYPE_CHECKING

from camagick_broker.keys import Keys, fresh
from camagick_broker.network import Network
from caspy.crew import ALONE, FIRST, Beginning, Post
from caspy.errors import PlanError
from caspy.hosts.agreeing import ANSWER_S, Agent, agree, check_codecs, home_address
from caspy.hosts.order import order
from caspy.hosts.outpost import Outpost, Outposts
from caspy.hosts.ports import needed, reserve
from caspy.placement import HOME

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from caspy.hosts.places import Places
    from caspy.plan import Plan
    from caspy.policy import Policy

log = logging.getLogger(__name__)

#: How long an agent may take to make its processors.
_READY_S = 60.0


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
    agents: list[Agent] = []
    holds = contextlib.ExitStack()
    try:
        for host in plan.hosts:  # all of them at once: each takes its time
            agent = Agent(host, places.hosts.get(host.split("|")[0]), places)
            agents.append(agent)
        for agent in agents:
            agree(agent)
        home = home_address(agents, places)
        keys = {} if places.insecure else {actor.number: fresh() for actor in plan.actors}
        if places.insecure:
            log.warning('msg="-insecure: whoever reaches these hosts can read this run, and write"')
        check_codecs(plan, agents, places)
        ports = reserve(home, _count(plan, HOME), places.ports, holds)
        post = Post(HOME, _networks(plan, HOME, home, keys, ports, places))
        instructed = [_instruct(agent, plan, keys, places, policy) for agent in agents]
    except BaseException:
        for agent in agents:
            agent.close()
        holds.close()
        raise

    def again(lost: Outpost, begin: Beginning) -> Outpost:
        return _renewed(lost, begin, plan, keys, places, policy)

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
) -> Outpost:  # fmt: skip
    """Give an agent its order, and wait until it has understood."""
    answer = agent.ask(
        "ports", ANSWER_S, address=agent.address, count=_count(plan, agent.host),
        range=list(places.ports),
    )  # fmt: skip
    networks = _networks(plan, agent.host, agent.address, keys, list(answer["ports"]), places)
    post = Post(agent.host, networks, agent.ahead_ns)
    agent.ask(
        "ready", _READY_S, **order(plan, agent.host, post, policy, begin), cwd=os.getcwd(),
        folder=f"{plan.bus[:24]}.{agent.process.pid}", patience=places.patience_s,
        cores=agent.known.cores,
    )  # fmt: skip
    return Outpost(
        agent.host, agent.known.alias, agent.process, agent.channel, places.patience_s,
        plan.at(agent.host),
    )  # fmt: skip


def _renewed(
    lost: Outpost, begin: Beginning, plan: Plan, keys: Mapping[int, Keys], places: Places,
    policy: Policy,
) -> Outpost:  # fmt: skip
    """Return an agent in the place of a lost one: on the next host that it may be on."""
    choice = lost.host.split("|")
    first = choice.index(lost.alias) if lost.alias in choice else 0
    problem = PlanError(f"@{lost.host}: nowhere to go")
    for alias in choice[first + 1 :] + choice[: first + 1]:
        agent = None
        try:
            agent = Agent(lost.host, places.hosts.get(alias), places)
            agree(agent)
            return _instruct(agent, plan, keys, places, policy, begin)
        except PlanError as error:
            problem = error
            if agent is not None:
                agent.close()
    raise problem
