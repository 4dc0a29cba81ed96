"""Which host an actor runs on, and the relays between hosts; the order that an agent is given."""

from __future__ import annotations

import contextlib
import json
import shlex
import socket
from typing import Any

import msgpack
import pytest

from camagick.flow.chain import Processor as Chain
from camagick.source.scratch import Processor as Scratch
from camagick.walk import leaves
from caspy import hostsfile
from caspy.build import build
from caspy.crew import Post
from caspy.errors import PlanError
from caspy.hosts.order import carry_out, order
from caspy.hosts.places import Places
from caspy.hosts.ports import ANY, held_at, needed, reserve
from caspy.parse import parse
from caspy.plan import Plan, make_plan
from caspy.policy import Policy
from caspy.render import render
from caspy.words import sort
from caspy.yamlfile import dumps, loads

A, S, SUM = "--from-scratch random a=1", "--to-summary path=x", "--npfun sum"


def plan_of(line: str) -> Plan:
    parsed = parse(sort(shlex.split(line)).words)
    assert not parsed.problems, parsed.problems
    built = build(parsed.pipes)
    assert not built.problems, built.problems
    return make_plan(built.flows)


def places(plan: Plan) -> dict[str, str]:
    return {actor.name: actor.host for actor in plan.actors}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"{A} {SUM} {S}", ["", "", ""]),
        (f"{A} @daq {SUM} {S}", ["daq", "daq", "daq"]),  # beside the source
        (f"{A} @daq {SUM} @gpu {S}", ["daq", "gpu", "daq"]),
        (f"{A} @daq [ @gpu {SUM} --idem ] {S}", ["daq", "gpu", "gpu", "daq"]),
        (f"{A} @daq [ @gpu {SUM} @b --idem ] {S}", ["daq", "b", "gpu", "daq"]),
        (f"{A} @daq {SUM} --to-summary", ["daq", "daq", ""]),  # the terminal is here
        (f"{A} @daq {SUM} --to-summary @daq", ["daq", "daq", "daq"]),
        (f"{A} @daq [ @gpu {SUM} @auto --idem ] {S} @auto", ["daq", "daq", "gpu", "daq"]),
        (f"{A} {SUM} @gpu {S}", ["", "gpu", ""]),
        (f"{A} @local {SUM} @gpu {S} @localhost", ["", "gpu", ""]),
        (f"{A} @a|b {SUM} {S}", ["a|b", "a|b", "a|b"]),
        (f"{A} @ops@daq.site.org {S}", ["ops@daq.site.org"] * 2),
        (f"{A} @daq {SUM} , {A} {SUM} @gpu", ["daq", "daq", "", "gpu"]),
    ],
)
def test_where_actors_run(line: str, expected: list[str]) -> None:
    plan = plan_of(line)
    assert [actor.host for actor in plan.actors] == expected
    assert plan.hosts == list(dict.fromkeys(host for host in expected if host))


def edges(plan: Plan) -> dict[str, list[str]]:
    names = {actor.number: f"{actor.name}@{actor.host}" for actor in plan.actors}
    for actor in plan.actors:  # both ends of an edge know of it
        for consumer in actor.consumers:
            other = next(one for one in plan.actors if one.number == consumer)
            assert actor.number in other.inputs
            if other.host != actor.host:
                assert len(actor.consumers) == 1
    return {names[actor.number]: [names[one] for one in actor.consumers] for actor in plan.actors}


def test_an_edge_between_hosts_has_two_ends() -> None:
    assert edges(plan_of(f"{A} @a {SUM} @b")) == {"scratch.1@a": ["npfun.2@b"], "npfun.2@b": []}


def test_bytes_cross_once_for_several_consumers_of_a_host() -> None:
    found = edges(plan_of(f"{A} @a {{ [ {SUM} @b ] [ {SUM} @b ] }} {S}"))
    assert found["scratch.1@a"] == ["relay.5@b"]
    assert found["relay.5@b"] == ["npfun.2@b", "npfun.3@b"]


def test_a_relay_sends_beside_who_has_other_consumers() -> None:
    found = edges(plan_of(f"{A} @a {{ [ {SUM} @b ] [ {SUM} ] [ {SUM} @b ] [ {SUM} @c ] }} {S}"))
    assert found["scratch.1@a"] == ["npfun.3@a", "relay.7@a", "relay.9@a"]
    assert found["relay.7@a"] == ["relay.8@b"]
    assert found["relay.8@b"] == ["npfun.2@b", "npfun.4@b"]
    assert found["relay.9@a"] == ["npfun.5@c"]


def test_workers_on_another_host_send_one_by_one() -> None:
    found = edges(plan_of(f"{A} {SUM} @workers=2 @b {S}"))
    assert found["npfun.2@b"] == ["summary.4@"]
    assert found["npfun.3@b"] == ["summary.4@"]


@pytest.mark.parametrize(
    ("flow", "reason"),
    [
        ("--from-pipe x @daq --to-summary", "reads the standard input, which is here"),
    ],
)
def test_what_cannot_travel(flow: str, reason: str) -> None:
    with pytest.raises(PlanError, match=reason):
        plan_of(flow)


def test_what_a_program_made_cannot_travel() -> None:
    scratch = Scratch("zeros", a=1)
    scratch.host = "daq"
    with pytest.raises(PlanError, match="only recipes"):
        make_plan([Chain(scratch)])


def test_a_recipe_keeps_its_hosts() -> None:
    line = f"{A} @daq {{ [ @gpu {SUM} @workers=2 ] [ {SUM} @a|b ] }} {S}"
    pipes = build(parse(sort(shlex.split(line)).words).pipes, construct=False).pipes
    again, problems = loads(dumps(pipes), "recipe")
    assert not problems
    assert again == pipes


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("chain: [{from: [scratch, zeros], host: 5}]", "host is the name of one"),
        ("chain: [{from: [scratch, zeros], host: '-oProxy'}]", "host is the name of one"),
        ("chain: []\nhost: [a]", "host is the name of one"),
    ],
)
def test_a_host_in_a_file_that_is_none(text: str, problem: str) -> None:
    assert problem in loads(text, "recipe")[1][0].text


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (f"{A} @daq @gpu", 'a second host: it is "@daq" already'),
        (f"{A} @-oProxyCommand", "names no host"),
        (f"{A} @", "names no host"),
        (f"{A} @hosts=2", 'no such word "@hosts"'),
        (f"{A} {{ @a|", "names no host"),
    ],
)
def test_a_word_that_names_no_host(line: str, problem: str) -> None:
    problems = parse(sort(shlex.split(line)).words).problems
    assert problem in problems[0].text


def test_the_plan_shows_hosts() -> None:
    plan = plan_of(f"{A} @daq {SUM} @gpu --to-summary")
    text = render(plan)
    assert "scratch.1 @daq  tcp -> npfun.2" in " ".join(text.split(" "))
    assert "2 edges cross the network" in text
    assert '"host": "gpu"' in render(plan, "json")
    for form in ("dot", "mermaid"):
        assert "daq" in render(plan, form)


def test_the_plan_shows_what_stands_behind_hosts() -> None:
    known, problems = hostsfile.loads(
        '[hosts.gpu]\nssh = "me@gpu1"\nbind = "10.0.0.7"\ncores = 8\n', "hosts.toml"
    )
    assert not problems
    plan = plan_of(f"{A} @daq {SUM} @gpu --to-summary")
    text = render(plan, places=Places(known))
    assert "host    daq: ssh daq, listens at the address it has, 3 ports\n" in text
    assert "host    gpu: ssh me@gpu1, listens at 10.0.0.7, 2 ports, 8 cores\n" in text
    gpu = json.loads(render(plan, "json", Places(known)))["hosts"][1]
    assert gpu == {
        "name": "gpu", "engine": "ssh", "destination": "me@gpu1", "address": "10.0.0.7",
        "cores": 8, "ports": 2,
    }  # fmt: skip


def test_an_order_is_plain_and_says_all() -> None:
    """An agent makes of it what the launcher had, of its actors; of others, where they are."""
    line = f"{A} @a {{ [ {SUM} @workers=2 @b --rename x ] [ --slice 0:1 @b ] [ {SUM} ] }} {S}"
    plan = plan_of(line)
    told = msgpack.unpackb(
        msgpack.packb(order(plan, "b", Post("b"), Policy(5))), strict_map_key=False
    )
    made, policy = carry_out(told)
    assert policy == Policy(5)
    assert (made.bus, made.run, made.window) == (plan.bus, plan.run, plan.window)
    for one, other in zip(plan.actors, made.actors, strict=True):
        for name in ("number", "name", "tree", "inputs", "consumers", "share", "host"):
            assert getattr(one, name) == getattr(other, name)
        if one.host == "b":
            assert type(one.node) is type(other.node)
            assert one.node.serial == other.node.serial
        else:
            assert other.node is None
    wirings = [
        [one.wiring(pipe, actor, "x") for pipe in one.pipes for actor in pipe.actors
         if actor.host == "b"]
        for one in (plan, made)
    ]  # fmt: skip
    assert wirings[0] == wirings[1]


def test_an_agent_says_what_it_cannot_make() -> None:
    plan = plan_of(f"{A} @a {SUM} @b")
    told: dict[str, Any] = order(plan, "b", Post("b"), Policy())
    node = told["pipes"][0]["actors"][1]["node"]
    node["recipe"] = node["recipe"].replace("npfun", "nothing")
    with pytest.raises(PlanError, match=r"npfun\.2 @b: .*nothing"):
        carry_out(told)


def test_only_what_is_needed_is_bound() -> None:
    plan = plan_of(f"{A} @a {SUM} @b --pace Hz=1 @c --to-summary")
    assert needed(plan, "a") == {1: ["data", "back", "loop"]}  # the pace is a gate: it reports
    assert needed(plan, "b") == {2: ["data", "back"]}
    assert needed(plan, "") == {4: []}
    assert all(node.host in ("a", "b", "c", "") for node in leaves(plan.pipes[0].flow))


def test_ports_are_reserved_out_of_a_range() -> None:
    with contextlib.ExitStack() as holds:
        low = reserve("127.0.0.1", 1, ANY, holds)[0]
        found = reserve("127.0.0.1", 3, (low, low + 20), holds)
        assert len({low, *found}) == 4
        assert all(low <= port <= low + 20 for port in found)
        with pytest.raises(PlanError, match="3 ports are needed"):
            reserve("127.0.0.1", 3, (low, low + 1), holds)
        with pytest.raises(PlanError, match=r"cannot listen at 192\.0\.2\.1"):
            reserve("192.0.2.1", 1, ANY, holds)


def test_a_reserved_port_is_kept_for_whoever_knows_it() -> None:
    with contextlib.ExitStack() as holds:
        port = reserve("127.0.0.1", 1, ANY, holds)[0]
        for _ in range(2):  # an actor, and the one after it
            with socket.socket() as actor:
                actor.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as ZeroMQ does
                actor.bind(("127.0.0.1", port))
                actor.listen()
                with pytest.raises(OSError, match="in use"):
                    held_at("127.0.0.1", port, lingering=True)
            with pytest.raises(OSError, match="in use"):
                held_at("127.0.0.1", port)


def test_ports_of_a_run_that_has_just_ended_are_taken_again() -> None:
    with held_at("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        listener.listen()
        with socket.create_connection(("127.0.0.1", port)) as client:
            listener.accept()[0].close()  # closes first: TIME_WAIT stays on this side
            client.recv(1)
    with contextlib.ExitStack() as holds:
        assert reserve("127.0.0.1", 1, (port, port), holds) == [port]
