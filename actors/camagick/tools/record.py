"""What an actor has stored already: the record beside the data, by which none is stored twice.

It is kept for each array, and reaches the disk in the same commit as the frames that it tells of.
A sink whose process was killed is given again what was not acknowledged; what the record has, it
skips.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

#: Name of the attribute.
ATTRIBUTE = "caspy_record"
#: How many sinks, of this run or earlier ones, an array remembers.
_KEPT = 4
#: How many times the pace of frames and iterations may have changed.
_SPANS = 8
#: A frame that is in the array, nobody knows where.
UNKNOWN = -1


class Stamp(NamedTuple):
    """Which iteration of which actor of which run a frame belongs to."""

    run: str
    actor: int
    seq: int


class Entry(NamedTuple):
    """What one actor of one run has put into an array.

    Attributes
    ----------
    run, actor
        Who it was.
    spans
        Where its frames are: rows of first iteration, first frame, and how many in a row. The
        last iteration of all is the end of the last span.
    """

    run: str
    actor: int
    spans: list[list[int]]

    @property
    def seq(self) -> int:
        """The last iteration that is in the array."""
        first, _, count = self.spans[-1]
        return first + count - 1

    def note(self, seq: int, frame: int) -> None:
        """Add that iteration `seq` is now frame `frame`."""
        if self.spans:
            span = self.spans[-1]
            if (seq, frame) == (span[0] + span[2], span[1] + span[2]):
                span[2] += 1
                return
        self.spans.append([seq, frame, 1])
        del self.spans[:-_SPANS]

    def frame(self, seq: int) -> int | None:
        """Return the frame of an iteration; None when it was left out; UNKNOWN if it is too old."""
        for first, frame, count in self.spans:
            if first <= seq < first + count:
                return frame + seq - first
        return UNKNOWN if seq < self.spans[0][0] else None


class Record:
    """What is known about one array.

    Parameters
    ----------
    rows
        The record as it was stored; anything that is none counts as empty.
    """

    def __init__(self, rows: Any = ()) -> None:
        self._entries: list[Entry] = []
        try:
            for row in rows:
                spans = [[int(number) for number in span] for span in row["frames"]]
                if spans and all(len(span) == 3 for span in spans):
                    self._entries.append(Entry(str(row["run"]), int(row["actor"]), spans))
        except (KeyError, TypeError, ValueError):
            self._entries = []  # somebody else's attribute of that name

    @classmethod
    def parse(cls, text: str | bytes) -> Record:
        """Return the record that a text (JSON) holds."""
        try:
            return cls(json.loads(text))
        except ValueError:
            return cls()

    def has(self, stamp: Stamp) -> bool:
        """Tell whether that iteration has been done already."""
        entry = self._find(stamp)
        return entry is not None and stamp.seq <= entry.seq

    def frame(self, stamp: Stamp) -> int | None:
        """Return the frame of an iteration that `has`; see `Entry.frame`."""
        entry = self._find(stamp)
        return None if entry is None else entry.frame(stamp.seq)

    def note(self, stamp: Stamp, frame: int) -> None:
        """Add that an iteration is in the array, as frame number `frame`."""
        entry = self._find(stamp)
        if entry is None:
            entry = Entry(stamp.run, stamp.actor, [])
            self._entries.append(entry)
            del self._entries[:-_KEPT]
        entry.note(stamp.seq, frame)

    def _find(self, stamp: Stamp) -> Entry | None:
        for entry in reversed(self._entries):
            if (entry.run, entry.actor) == (stamp.run, stamp.actor):
                return entry
        return None

    def rows(self) -> list[dict[str, Any]]:
        """Return it in the types of JSON, the newest entry last."""
        return [
            {"run": entry.run, "actor": entry.actor, "seq": entry.seq, "frames": entry.spans}
            for entry in self._entries
        ]

    def text(self) -> str:
        """Return it as JSON."""
        return json.dumps(self.rows(), separators=(",", ":"))
