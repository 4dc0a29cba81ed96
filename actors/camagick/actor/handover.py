"""From a processor's result to a message: written down first, then sent, then committed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from camagick.actor.messages import Writer
from camagick.actor.share import passed
from camagick.processor import Result, checked, conclude
from camagick_broker.arrays import SLOT_BYTES
from camagick_broker.encoder import Encoder
from camagick_broker.ledger import BEGUN, MADE
from camagick_broker.reader import decode
from camagick_broker.references import Layer
from camagick_broker.shared import SharedArrays
from camagick_broker.slotpool import SlotPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from camagick.actor.assignment import Assignment
    from camagick.actor.inputs import Given
    from camagick_broker.ledger import Row
    from camagick_broker.reader import SlotReader

_PATIENCE_S = 0.002
#: On their way to another host, smaller arrays are quicker in the message.
_FAR_BYTES = 1 << 16


class HandOver:
    """Hands on what one processor makes.

    Parameters
    ----------
    assignment
        The actor's work.

    Attributes
    ----------
    row
        What outlives the process, see `camagick_broker.ledger`.
    shared
        Large arrays, which lie in shared memory; None where there is none.
    busy_s
        How long the processor has worked.
    tell
        Tells the station something; there is none yet when this is made.
    """

    def __init__(self, assignment: Assignment) -> None:
        node, wiring = assignment.node, assignment.wiring
        self._node, self._wiring = node, wiring
        self._journal = assignment.journal
        self.tell: Callable[..., None] = _nobody
        self.row = assignment.ledger[wiring.number]
        self.shared = _shared(assignment, self.row)
        if self.shared is not None:
            node.allocate = self.shared.empty
        node.ended = lambda: self.row.low
        # Who is on another host cannot look into this one's memory.
        far = wiring.sends_far
        self._write = Writer(wiring, copies=node.keeps_frames, shared=None if far else self.shared)
        own = self.shared if far and wiring.number in assignment.segments else None
        self._lay = Layer(own) if own is not None else None
        self._encode = Encoder()
        self._uncommitted = 0
        self._commit_s = 0.0
        self._batch = max(1, wiring.window // 2)
        # What another attempt makes may differ: a join must not mix them.
        again = wiring.incarnation > 1 and not node.repeatable
        self._lineage = {wiring.number: wiring.incarnation} if again else {}
        self._began = 0.0
        self._sends = bool(wiring.consumers)
        self._words = self.row.words  # of the two that change with each iteration
        self.busy_s = 0.0

    @property
    def slots(self) -> SlotReader | None:
        """What reads arrays that lie in shared memory; None where there is none."""
        return self.shared.read if self.shared is not None else None

    @property
    def noted_in(self) -> SlotReader | None:
        """What reads arrays of which the journal notes only where they lie; None for none."""
        return self.slots if self._lay is not None else None

    def figures(self) -> dict[str, int]:
        """Return what the statistics shall say."""
        return self.shared.figures() if self.shared is not None else {}

    def begin(self, seq: int) -> None:
        """Note that the processor is called for an iteration now."""
        self._node.seq = seq
        self._words[BEGUN] = seq + 1
        if self.shared is not None:
            self.shared.begin(seq)
        self._began = time.perf_counter()

    def __call__(self, seq: int, made: Result, given: Given, before: dict[str, Any]) -> list[Any]:
        """Send on what the processor made of an iteration; return the frames of the message.

        Parameters
        ----------
        seq
            The iteration.
        made
            What it returned.
        given
            What it was given.
        before
            The context's entries from before the call.
        """
        self.busy_s += time.perf_counter() - self._began
        frames: list[Any] = []
        if self._sends or self._node.role == "source":
            result = conclude(self._node, made, given.data, given.context, before)
        else:
            checked(self._node, made)
        if self._sends:
            lineage = {**given.lineage, **self._lineage} if self._lineage else given.lineage
            frames = self._write(seq, result, given.context, lineage)
        if self._journal is not None:
            written = frames
            if self._lay is not None and frames:
                frames, written = self._lay(frames)
            remembered = self._remembered() if self._node.memory else ()
            self._journal.write(seq, written, remembered)
        self._words[MADE] = seq + 1  # the record is complete
        self._uncommitted += 1
        self.tell("sent", seq, frames)
        return frames

    def nothing(self, seq: int, given: Given) -> None:
        """Send on an iteration without the processor's part in it."""
        self._began = time.perf_counter()
        if self.shared is not None:
            self.shared.begin(seq)
        self(seq, {}, given, dict(given.context))

    def passed(self, seq: int) -> None:
        """Send on that an iteration is another worker's; there is no journal, being repeatable."""
        self._words[MADE] = seq + 1
        self.tell("sent", seq, passed(self._wiring, seq) if self._sends else [])

    def is_due(self, *, idle: bool) -> bool:
        """Tell whether it is time to commit; `idle` says that nothing else is to do."""
        if not self._node.commits or not self._uncommitted:
            return False
        return idle or self._uncommitted >= self._batch

    @property
    def patience_s(self) -> float:
        """How long to wait for more to do before what there is is committed.

        A commit costs nearly as much for one iteration as for many. In lockstep nothing more comes.
        """
        if not self._uncommitted or self._wiring.lockstep or self._uncommitted >= self._batch:
            return 0.0
        return min(_PATIENCE_S, 4 * self._commit_s)

    def commit(self) -> None:
        """Make safe what was handed over, and say so.

        Raises
        ------
        Exception
            When the processor cannot.
        """
        began = time.perf_counter()
        self._node.commit()
        self._commit_s = time.perf_counter() - began
        self._uncommitted = 0
        self.tell("committed", self.row.made)

    def recall(self, seq: int) -> None:
        """Tell the processor, which has been started, what its predecessor knew before `seq`."""
        memory = self._node.memory
        if self._journal is None or not memory or not seq:
            return
        records = [self._journal.read(one) for one in range(max(0, seq - memory), seq)]
        bodies = [decode(memoryview(one.remembered[0]), one.remembered[1:]) for one in records]
        self._node.recall([{tag: mark.value for tag, mark in body.data.items()} for body in bodies])

    def _remembered(self) -> list[Any]:
        known = self._node.remember() or {}
        entries = [[tag, 0, None, None, value] for tag, value in known.items()]
        body, buffers = self._encode({}, [], entries)
        return [body, *buffers]


def _nobody(*_: Any) -> None:
    raise RuntimeError("there is no station to tell")


def _shared(assignment: Assignment, row: Row) -> SharedArrays | None:
    """Return the shared memory of an actor; None where the launcher has made none."""
    if not assignment.segments:
        return None
    own = assignment.segments.get(assignment.wiring.number)
    pool = None
    if own is not None:
        pool = SlotPool(own, row, None if assignment.journal is None else row.made)
    copies, name = assignment.node.keeps_frames, assignment.wiring.name
    least = _FAR_BYTES if assignment.wiring.sends_far else SLOT_BYTES
    return SharedArrays(assignment.segments, pool, copies=copies, name=name, least=least)
