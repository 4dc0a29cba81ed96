"""A plan as plain values: what the agent of a host is told, and what it makes of that.

Processors travel as their recipe, never as objects; of the actors of other hosts, an agent learns
their names and how they are connected.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from camagick.actor.inputs import Branch, Tree
from camagick.actor.share import Share, Shared
from camagick.processor import Placement
from camagick.walk import is_alone, leaves
from camagick_broker.keys import Keys
from camagick_broker.network import Network
from caspy.build import build
from caspy.crew import FIRST, Beginning
from caspy.errors import PlanError
from caspy.layout import Actor
from caspy.placement import Relay
from caspy.plan import Pipe, Plan
from caspy.policy import Policy
from caspy.recipe import Flow
from caspy.yamlfile import dumps, loads

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caspy.crew import Post

_OF_PIPE = ("heads", "gates", "terminals", "lockstep", "why")
_OF_PLAN = ("bus", "run", "window", "count", "fitted", "least")


def order(
    plan: Plan, host: str, post: Post, policy: Policy, begin: Beginning = FIRST
) -> dict[str, Any]:
    """Return what one host has to know of a run."""
    return {
        **{name: getattr(plan, name) for name in _OF_PLAN},
        "host": host,
        "ahead_ns": post.ahead_ns,
        "networks": {
            number: asdict(network) | {"keys": list(network.keys or ())}
            for number, network in post.networks.items()
        },
        "policy": asdict(policy),
        "begin": [begin.incarnation, dict(begin.rows), list(begin.over)],
        "pipes": [
            {
                **{name: getattr(pipe, name) for name in _OF_PIPE},
                "joins": list(pipe.joins),
                "actors": [_actor(actor, pipe, host) for actor in pipe.actors],
            }
            for pipe in plan.pipes
        ],
    }


def networks(told: Mapping[str, Any]) -> dict[int, Network]:
    """Return what the actors of the host have on the network."""
    return {
        number: Network(
            one["address"],
            one["ports"],
            Keys(*one["keys"]) if one["keys"] else None,
            one["known"],
            one["codec"],
        )
        for number, one in told["networks"].items()
    }


def beginning(told: Mapping[str, Any]) -> Beginning:
    """Return where the actors of the host begin."""
    return Beginning(*told["begin"])


def carry_out(told: Mapping[str, Any]) -> tuple[Plan, Policy]:
    """Return the plan and the policy that a host was told.

    Raises
    ------
    PlanError
        Where a processor cannot be made on this host.
    """
    placed = told["run"].hex(), told["host"]
    pipes = [
        Pipe(
            flow=None,
            actors=[_made(one, placed) for one in pipe["actors"]],
            heads=tuple(pipe["heads"]),
            gates=tuple(pipe["gates"]),
            joins=frozenset(pipe["joins"]),
            terminals=tuple(pipe["terminals"]),
            lockstep=pipe["lockstep"],
            why=pipe["why"],
        )
        for pipe in told["pipes"]
    ]
    plan = Plan(pipes=pipes, **{name: told[name] for name in _OF_PLAN})
    return plan, Policy(**told["policy"])


def _actor(actor: Actor, pipe: Pipe, host: str) -> dict[str, Any]:
    own = actor.host == host
    return {
        "number": actor.number, "name": actor.name, "host": actor.host,
        "inputs": list(actor.inputs), "consumers": list(actor.consumers),
        "tree": _plain(actor.tree), "share": actor.share and list(actor.share),
        "node": _node(actor, pipe) if own else None,
    }  # fmt: skip


def _node(actor: Actor, pipe: Pipe) -> dict[str, Any]:
    node = actor.node
    said: dict[str, Any] = {"serial": node.serial}
    if not isinstance(node, Relay):
        said["recipe"] = dumps([Flow("chain", (node.recipe,))])
    nodes = list(leaves(pipe.flow))
    said["alone"] = is_alone(pipe.flow)
    said["only_sink"] = sum(one.role == "sink" for one in nodes) <= 1
    return said


def _made(told: Mapping[str, Any], placed: tuple[str, str]) -> Actor:
    return Actor(
        number=told["number"], name=told["name"],
        node=_processor(told, placed) if told["node"] is not None else None,  # type: ignore[arg-type]
        tree=_tree(told["tree"]), inputs=tuple(told["inputs"]), consumers=list(told["consumers"]),
        share=Share(*told["share"]) if told["share"] else None, host=told["host"],
    )  # fmt: skip


def _processor(told: Mapping[str, Any], placed: tuple[str, str]) -> Any:
    said, (run, host) = told["node"], placed
    if "recipe" not in said:
        made: Any = Relay()
    else:
        recipe, problems = loads(said["recipe"], told["name"])
        built = build(recipe, fragment=True) if not problems else None
        if built is None or built.problems:
            problems = problems or (built.problems if built is not None else [])
            texts = "; ".join(problem.text for problem in problems)
            raise PlanError(f"{told['name']} @{host}: {texts}")
        made = next(iter(leaves(built.flows[0])))
    made.serial = said["serial"]
    made.placement = Placement(said["alone"], run, "", only_sink=said["only_sink"])
    return made


def _plain(tree: Tree | None) -> Any:
    if tree is None or isinstance(tree, int):
        return tree
    if isinstance(tree, Shared):
        return {"workers": list(tree.workers)}
    return [[_plain(one.tree), one.label, list(one.members)] for one in tree]


def _tree(told: Any) -> Tree | None:
    if told is None or isinstance(told, int):
        return told
    if isinstance(told, dict):
        return Shared(tuple(told["workers"]))
    return tuple(
        Branch(_tree(tree) or 0, label, frozenset(members)) for tree, label, members in told
    )
