"""What a running bus says of itself, as one row an actor: totals, and rates of the last second.

Answers of a broker are taken as they are: a figure that is missing is 0, one that is new is left
alone. Rates need no memory here, since an answer holds each actor's last two reports.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camagick_broker.running import Card, Member

#: An actor that has said nothing for so long is shown as silent.
SILENT_S = 5.0
#: Figures that are shown under a name of their own; what else a processor counts is passed on.
_KNOWN = frozenset(
    {
        "seq",
        "busy_s",
        "lifetime_s",
        "pid",
        "resends",
        "restarts",
        "copied_bytes",
        "slot_bytes",
        "unplaced",
        "incarnation",
        "final",
        "op",
        "in",
        "out",
        "refused",
    }
)


@dataclass(frozen=True, slots=True)
class Row:
    """One actor.

    Attributes
    ----------
    host
        Where it runs; '' for the host of the launcher.
    state
        'running', 'starting', 'silent' (it has not reported for a while) or 'ended'.
    seq
        Iterations done.
    messages_in, bytes_in, messages_out, bytes_out
        Since the start.
    rate, rate_in, rate_out, rate_messages
        Iterations, bytes in, bytes out and messages out per second.
    busy
        Share of the time, 0 to 1, in which the processor worked; it waited for the rest.
    latency_s
        How old messages are when they arrive, the worst input's running mean.
    kept
        Messages whose end was not yet acknowledged: its queue.
    resends, duplicates, gaps, refused, restarts
        Since the start.
    copied_bytes, unplaced
        Bytes of arrays that were copied into shared memory, and arrays that found no room there.
    slot_bytes
        How much shared memory it has.
    own
        What its processor counts.
    """

    number: int
    name: str
    state: str
    host: str = ""
    pid: int = 0
    seq: int = 0
    messages_in: int = 0
    bytes_in: int = 0
    messages_out: int = 0
    bytes_out: int = 0
    rate: float = 0.0
    rate_in: float = 0.0
    rate_out: float = 0.0
    rate_messages: float = 0.0
    busy: float = 0.0
    busy_s: float = 0.0
    latency_s: float = 0.0
    kept: int = 0
    resends: int = 0
    duplicates: int = 0
    gaps: int = 0
    refused: int = 0
    restarts: int = 0
    copied_bytes: int = 0
    slot_bytes: int = 0
    unplaced: int = 0
    own: Mapping[str, float] = field(default_factory=dict)


def rows(card: Card, status: Mapping[str, Any] | None) -> list[Row]:
    """Return a row for every actor of a bus.

    Parameters
    ----------
    card
        The bus.
    status
        What its broker answered; None where it did not.
    """
    return [_row(actor, status or {}) for actor in card.actors]


class Crossing(NamedTuple):
    """An edge between two hosts: the row of its producer, and who takes what that makes."""

    row: Row
    to: Member

    @property
    def message_bytes(self) -> float:
        """How large its messages are, on an average; 0 before the first."""
        return self.row.bytes_out / max(1, self.row.messages_out)


def crossing(card: Card, found: list[Row]) -> list[Crossing]:
    """Return the edges of a bus that cross the network."""
    return [
        Crossing(row, consumer)
        for row in found
        for consumer in card.consumers(row.number)
        if consumer.host != row.host
    ]


def iterations(card: Card, found: list[Row]) -> int:
    """Return how many iterations have gone through their whole pipe; all pipes together."""
    last: dict[int, int] = {}
    done = {row.number: row.seq for row in found}
    for actor in card.actors:
        if not card.consumers(actor.number):
            seq = done.get(actor.number, 0)
            last[actor.pipe] = min(last.get(actor.pipe, seq), seq)
    return sum(last.values())


def rate(card: Card, found: list[Row]) -> float:
    """Return iterations per second; of the fastest pipe, where there are several."""
    last = [row.rate for row in found if not card.consumers(row.number)]
    return max(last, default=0.0)


def _row(actor: Member, status: Mapping[str, Any]) -> Row:
    number = actor.number
    entry, now = _part(status, "actors", number), _part(status, "statistics", number)
    before = _part(status, "before", number)
    its_own = before.get("pid") == now.get("pid")
    if before and not (its_own and _number(now, "lifetime_s") > _number(before, "lifetime_s")):
        before = now  # it was restarted: nothing to compare with
    span = (_number(now, "lifetime_s") - _number(before, "lifetime_s")) or 1.0
    incarnation = int(_number(entry, "incarnation"))
    return Row(
        number, actor.name, _state(number, now, status),
        host=actor.host,
        pid=int(_number(now, "pid") or _number(entry, "pid")),
        seq=int(_number(now, "seq")),
        messages_in=int(_input(now, "messages")), bytes_in=int(_input(now, "bytes")),
        messages_out=int(_output(now, "messages")), bytes_out=int(_output(now, "bytes")),
        rate=max(0.0, (_number(now, "seq") - _number(before, "seq")) / span),
        rate_in=max(0.0, (_input(now, "bytes") - _input(before, "bytes")) / span),
        rate_out=max(0.0, (_output(now, "bytes") - _output(before, "bytes")) / span),
        rate_messages=max(0.0, (_output(now, "messages") - _output(before, "messages")) / span),
        busy=min(1.0, max(0.0, (_number(now, "busy_s") - _number(before, "busy_s")) / span)),
        busy_s=_number(now, "busy_s"),
        latency_s=max((_number(one, "latency_s") for one in _inputs(now)), default=0.0),
        kept=int(_output(now, "kept")),
        resends=int(_anywhere(now, "resends")),
        duplicates=int(_input(now, "duplicates")), gaps=int(_input(now, "gaps")),
        refused=int(_sum(now.get("refused"))),
        restarts=int(_anywhere(now, "restarts")) or max(0, incarnation - 1),
        copied_bytes=int(_number(now, "copied_bytes")), slot_bytes=int(_number(now, "slot_bytes")),
        unplaced=int(_number(now, "unplaced")),
        own={key: value for key, value in now.items() if key not in _KNOWN and _is_number(value)},
    )  # fmt: skip


def _state(number: int, now: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    if now.get("final"):
        return "ended"
    if not status.get("ready"):
        return "starting"
    return "silent" if _number(status.get("age_s"), number) > SILENT_S else "running"


def _part(status: Mapping[str, Any], name: str, number: int) -> Mapping[str, Any]:
    parts = status.get(name)
    part = parts.get(number) if isinstance(parts, dict) else None
    return part if isinstance(part, dict) else {}


def _inputs(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    inputs = report.get("in")
    found = inputs.values() if isinstance(inputs, dict) else ()
    return [one for one in found if isinstance(one, dict)]


def _input(report: Mapping[str, Any], name: str) -> float:
    return sum(_number(one, name) for one in _inputs(report))


def _output(report: Mapping[str, Any], name: str) -> float:
    return _number(report.get("out"), name)


def _anywhere(report: Mapping[str, Any], name: str) -> float:
    """Return a figure that may stand with the actor, its output, or its inputs."""
    return _number(report, name) or _output(report, name) or _input(report, name)


def _number(part: Any, name: Any) -> float:
    value = part.get(name) if isinstance(part, dict) else None
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else 0.0


def _sum(part: Any) -> float:
    values = part.values() if isinstance(part, dict) else (part,)
    return float(sum(value for value in values if _is_number(value)))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
