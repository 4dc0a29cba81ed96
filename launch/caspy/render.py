"""A plan as text, and as dot, mermaid and JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from caspy.hosts.places import Places
from caspy.hosts.ports import needed
from caspy.measured import UNKNOWN, as_fields, as_text
from caspy.placement import senders

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caspy.layout import Actor
    from caspy.measured import Measured
    from caspy.plan import Plan

FORMATS = ("text", "dot", "mermaid", "json")


def render(
    plan: Plan, form: str = "text", places: Places | None = None, passing: Measured | None = None
) -> str:
    """Return a plan in one of `FORMATS`.

    Parameters
    ----------
    plan, form
        What, and how.
    places
        What stands behind the names of its hosts.
    passing
        What passes between its hosts, where that is known.

    Raises
    ------
    PlanError
        For a name that cannot be a host.
    """
    if form in ("dot", "mermaid"):
        return {"dot": _dot, "mermaid": _mermaid}[form](plan)
    return {"text": _text, "json": _json}[form](plan, places or Places(), passing)


def _text(plan: Plan, places: Places, passing: Measured | None) -> str:
    far = senders(plan.actors)
    lines = [f"bus {plan.bus}, {len(plan.actors)} actors"]
    if far:
        crossing = "1 edge crosses" if len(far) == 1 else f"{len(far)} edges cross"
        lines.append(f"  {crossing} the network")
        lines += [] if passing else [f"  {UNKNOWN}"]
    lines += map(_host_line, _hosts(plan, places))
    for host in ("", *plan.hosts):
        lines += [f"  helper  {service}{_at(host)}" for service in plan.services(host)]
    for number, pipe in enumerate(plan.pipes, 1):
        lines.append(f"pipe {number}, {pipe.why}")
        lines += [f"  but {remark}" for remark in pipe.remarks]
        width = max(len(actor.name + _at(actor.host)) for actor in pipe.actors)
        names = _names(plan)
        for actor in pipe.actors:
            to = ", ".join(names[consumer] for consumer in actor.consumers)
            socket = f"{_socket(actor, far)} -> {to}" if to else ""
            joins = f"  joins {actor.joined}" if actor.joined > 1 else ""
            share = f"  {_share(actor)}" if actor.share else ""
            kind = f"{actor.node.role:<6}"
            name = f"{actor.name + _at(actor.host):<{width}}"
            lines.append(f"  {kind}  {name}  {socket}{share}{joins}".rstrip())
    return "\n".join(lines + (as_text(passing) if passing else []))


def _hosts(plan: Plan, places: Places) -> list[dict[str, Any]]:
    """Return what is known of the other hosts before any of them is asked."""
    found = []
    for name in plan.hosts:
        host = places.hosts.get(name.split("|")[0])
        found.append({
            "name": name, "engine": host.engine or places.engine,
            "destination": host.destination, "address": host.bind, "cores": host.cores,
            "ports": sum(map(len, needed(plan, name).values())),
        })  # fmt: skip
    return found


def _host_line(host: dict[str, Any]) -> str:
    local = host["engine"] == "local"
    how = "started here" if local else f"{host['engine']} {host['destination']}"
    listens = f"listens at {host['address'] or ('127.0.0.1' if local else 'the address it has')}"
    ports = "1 port" if host["ports"] == 1 else f"{host['ports']} ports"
    cores = f", {host['cores']} cores" if host["cores"] else ""
    return f"  host    {host['name']}: {how}, {listens}, {ports}{cores}"


def _at(host: str) -> str:
    return f" @{host}" if host else ""


def _socket(actor: Actor, far: set[int]) -> str:
    if actor.number in far:
        return "tcp"
    return "XPUB/SUB" if len(actor.consumers) > 1 else "PUSH/PULL"


def _share(actor: Actor) -> str:
    share = actor.share
    return f"worker {share.worker + 1} of {share.workers}" if share else ""


def _label(actor: Actor) -> str:
    return " ".join(filter(None, (actor.name + _at(actor.host), _share(actor))))


def _names(plan: Plan) -> dict[int, str]:
    return {actor.number: actor.name for actor in plan.actors}


def _edges(plan: Plan) -> Iterator[tuple[Actor, int]]:
    for actor in plan.actors:
        for consumer in actor.consumers:
            yield actor, consumer


def _dot(plan: Plan) -> str:
    shapes = {"source": "invhouse", "pipe": "box", "sink": "house"}
    lines = [f'digraph "{plan.bus}" {{', "  rankdir=LR;"]
    lines += [
        f'  a{actor.number} [label="{_label(actor)}", shape={shapes[actor.node.role]}];'
        for actor in plan.actors
    ]
    far = senders(plan.actors)
    for actor, consumer in _edges(plan):
        style = ", style=bold" if len(actor.consumers) > 1 else ""
        socket = _socket(actor, far)
        lines.append(f'  a{actor.number} -> a{consumer} [label="{socket}"{style}];')
    lines.append("}")
    return "\n".join(lines)


def _mermaid(plan: Plan) -> str:
    far = senders(plan.actors)
    lines = ["flowchart LR"]
    for actor in plan.actors:
        opening, closing = {"source": ("([", "])"), "pipe": ("[", "]"), "sink": ("[(", ")]")}[
            actor.node.role
        ]
        lines.append(f'  a{actor.number}{opening}"{_label(actor)}"{closing}')
    for actor, consumer in _edges(plan):
        arrow = "==>" if len(actor.consumers) > 1 else "-->"
        lines.append(f"  a{actor.number} {arrow}|{_socket(actor, far)}| a{consumer}")
    return "\n".join(lines)


def _json(plan: Plan, places: Places, passing: Measured | None) -> str:
    names, far = _names(plan), senders(plan.actors)
    pipes: list[dict[str, Any]] = [
        {
            "lockstep": pipe.lockstep,
            "why": pipe.why,
            "remarks": pipe.remarks,
            "heads": [names[number] for number in pipe.heads],
            "gates": [names[number] for number in pipe.gates],
            "actors": [
                {
                    "name": actor.name,
                    "role": actor.node.role,
                    "worker": actor.share.worker + 1 if actor.share else 1,
                    "workers": actor.share.workers if actor.share else 1,
                    "inputs": [names[number] for number in actor.inputs],
                    "consumers": [names[number] for number in actor.consumers],
                    "edge": _socket(actor, far) if actor.consumers else None,
                    "host": actor.host or None,
                }
                for actor in pipe.actors
            ],
        }
        for pipe in plan.pipes
    ]
    content = {
        "bus": plan.bus, "window": "auto" if plan.fitted else plan.window, "count": plan.count,
        "services": plan.services(), "hosts": _hosts(plan, places), "pipes": pipes,
        "network": as_fields(passing) if passing else None,
    }  # fmt: skip
    return json.dumps(content, indent=2)
