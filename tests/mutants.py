"""`caspy` with one promise of the bus broken: ``python -m tests.mutants MUTANT WORDS...``.

The product has no switch for this. A mutant changes a class of it and then runs the command line;
actors are forked, so it is changed in all of them. `tests/test_mutants.py` sees that each is found.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from typing import TYPE_CHECKING, Any

from camagick.actor.handover import HandOver
from camagick.tools import record
from camagick_broker.edges import OutEdge
from camagick_broker.journal import Journal
from camagick_broker.ledger import MADE
from camagick_broker.links import Links
from camagick_broker.neighbours import Probe
from camagick_broker.slotpool import SlotPool
from camagick_broker.slottable import MOST_SLOTS, Slot, SlotTable
from camagick_broker.standing import Standing
from camagick_broker.upstream import Upstream
from camagick_broker.wire import Kind, unpack

if TYPE_CHECKING:
    from collections.abc import Callable


def _break(owner: Any, name: str, function: Callable[..., Any]) -> None:
    setattr(owner, name, function)


def hop_by_hop() -> None:
    """Acknowledge what has arrived, not what has ended."""

    def low(_self: Upstream, edge: Any) -> int:
        return int(edge.expected)

    _break(Upstream, "_low", low)


def no_replay() -> None:
    """Send nothing again to a consumer that was restarted, nor to one that asks."""
    _break(OutEdge, "since", lambda _self, _seq: [])


def no_hello() -> None:
    """Whoever is restarted says nothing."""
    real = Links.send

    def send(self: Links, effect: Any) -> None:
        frame = getattr(effect, "frame", None)
        head = unpack(frame)[0] if frame is not None else None
        if head is None or head.kind is not Kind.HELLO or head.incarnation == 1:
            real(self, effect)

    _break(Links, "send", send)


def lost_acknowledgements() -> None:
    """Lose every tenth acknowledgement, and never ask for it."""
    real, chance = Links.send, random.Random(1)  # noqa: S311

    def send(self: Links, effect: Any) -> None:
        frame = getattr(effect, "frame", None)
        state = frame is not None and unpack(frame)[0].kind is Kind.STATE
        if not state or chance.random() > 0.1:
            real(self, effect)

    _break(Links, "send", send)
    _break(Probe, "is_due", lambda *_: False)


def no_journal() -> None:
    """Keep nothing of what cannot be made again."""
    _break(Journal, "write", lambda *_: None)


def told_before_written() -> None:
    """Tell the producers what has ended, and never write it down."""
    _break(Standing, "note", lambda _self: None)


def not_committed() -> None:
    """Acknowledge what was handed to a file before it is safe there."""

    def commit(self: HandOver) -> None:
        self._uncommitted = 0
        self.tell("committed", self.row.made)

    _break(HandOver, "commit", commit)


def unlucky() -> None:
    """Be killed in the one moment that counts: it is in the file, and nobody knows it yet.

    This breaks no promise: everything has to come out right.
    """

    def commit(self: HandOver) -> None:
        self._node.commit()
        if self._wiring.incarnation < 4 and self.row.made > 50 * self._wiring.incarnation:
            os.kill(os.getpid(), signal.SIGKILL)
        self._uncommitted = 0
        self.tell("committed", self.row.made)

    _break(HandOver, "commit", commit)


def forgetful_files() -> None:
    """Look at nothing that a file says of what it has."""
    unlucky()
    _break(record.Record, "has", lambda *_: False)


def freed_early() -> None:
    """Use a slot again as soon as its iteration was made, whoever still looks at it."""

    def release(self: SlotPool) -> None:
        while self._used and self._used[0][0] < self._words[MADE]:
            _, index = self._used.popleft()
            self._free[self._slots[index].size].append(index)

    _break(SlotPool, "_release", release)


def freed_early_unseen() -> None:
    """And look at whatever is in a slot by now."""
    freed_early()

    def current(self: SlotTable, generation: int) -> Slot:
        return self[generation % MOST_SLOTS]._replace(generation=generation)

    _break(SlotTable, "current", current)


MUTANTS: dict[str, Callable[[], None]] = {
    function.__name__: function
    for function in (
        hop_by_hop, no_replay, no_hello, lost_acknowledgements, no_journal, told_before_written,
        not_committed, forgetful_files, unlucky, freed_early, freed_early_unseen,
    )
}  # fmt: skip

if __name__ == "__main__":
    from caspy.cli import main

    MUTANTS[sys.argv[1]]()
    sys.exit(main(sys.argv[2:]))
