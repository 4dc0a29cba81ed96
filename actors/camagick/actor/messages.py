"""Between an iteration's data and the messages of the bus."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from camagick.data import Data
from camagick_broker.squeeze import Squeezer
from camagick_broker.values import Encoder
from camagick_broker.wire import SQUEEZED, Head, Kind, pack_rest, pack_start

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camagick_broker.protocol import Arrived
    from camagick_broker.shared import SharedArrays
    from camagick_broker.wiring import Wiring


class Writer:
    """Makes the messages of one actor's output.

    Parameters
    ----------
    wiring
        The actor's place.
    copies
        Whether arrays have to be copied: their maker may write into them again.
    shared
        Where large arrays lie; None where they have to travel.
    """

    def __init__(self, wiring: Wiring, *, copies: bool, shared: SharedArrays | None = None) -> None:
        self._copies, self._ahead_ns = copies, wiring.ahead_ns
        own, attempt = wiring.number, wiring.incarnation
        head = Head(Kind.DATA, wiring.run, own, own, 0, attempt, attempt)
        self._start = pack_start(head)
        self._start_squeezed = pack_start(head._replace(flags=SQUEEZED))
        codec = wiring.network.codec if wiring.network is not None and wiring.sends_far else ""
        self._shared = shared
        self._squeeze = Squeezer(codec) if codec else None
        self._encode = Encoder(shared.place if shared is not None else None)

    def __call__(
        self, seq: int, data: Data, context: Data, lineage: Mapping[int, int]
    ) -> list[Any]:
        """Return the frames of iteration `seq`.

        Raises
        ------
        LocalProtocolError
            For a value that cannot travel.
        """
        known = _entries(context) if context else ()
        body, buffers = self._encode(lineage, known, _entries(data))
        if self._copies:
            buffers = [np.array(buffer) for buffer in buffers]
        start = self._start
        if self._squeeze is not None and buffers:
            smaller = self._squeeze(buffers, self._encode.itemsizes)
            if smaller is not None:
                start, buffers = self._start_squeezed, smaller
        size = self._shared.end() if self._shared is not None else 0
        first = pack_rest(
            start, seq, len(buffers), time.time_ns() - self._ahead_ns, body,
            shared=-(-size // 1024),
        )  # fmt: skip
        return [first, *buffers]


def _entries(data: Data) -> list[tuple[str, int, str, Mapping[str, Any], Any]]:
    rows = []
    marks = data.marks
    for tag, value in data.items():
        maker, origin, attributes, _ = marks[tag]
        rows.append((tag, maker, origin, attributes, value))
    return rows


def read(message: Arrived) -> tuple[Data, Data, Mapping[int, int]]:
    """Return data, context and lineage of a message; its body was read when it arrived."""
    lineage, context, data = message.body
    return Data.of_marks(data), Data.of_marks(context), lineage
