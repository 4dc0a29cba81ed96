"""Between an iteration's data and the messages of the bus."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from camagick.data import Data, Mark
from camagick_broker.values import Encoder
from camagick_broker.wire import Head, Kind, pack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camagick_broker.protocol import Arrived
    from camagick_broker.shared import SharedArrays
    from camagick_broker.values import Body, Entry
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
        self._wiring = wiring
        self._copies = copies
        self._shared = shared
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
        body, buffers = self._encode(lineage, _entries(context), _entries(data))
        if self._copies:
            buffers = [np.array(buffer) for buffer in buffers]
        wiring = self._wiring
        size = self._shared.end() if self._shared is not None else 0
        head = Head(
            Kind.DATA, wiring.run, wiring.number, wiring.number, seq, wiring.incarnation,
            wiring.incarnation, -(-size // 1024), buffers=len(buffers), sent_ns=time.time_ns(),
        )  # fmt: skip
        return [pack(head, body), *buffers]


def _entries(data: Data) -> list[list[Any]]:
    rows = []
    for tag, value in data.items():
        mark = data.marks[tag]
        origin = None if mark.tag == tag else mark.tag
        rows.append([tag, mark.maker, origin, mark.attributes or None, value])
    return rows


def read(message: Arrived) -> tuple[Data, Data, Mapping[int, int]]:
    """Return data, context and lineage of a message; its body was read when it arrived."""
    body: Body = message.body
    return _data(body.data), _data(body.context), body.lineage


def _data(entries: Any) -> Data:
    data = Data()
    for entry in entries:
        data[entry.tag] = entry.value
        data.marks[entry.tag] = _mark(entry)
    return data


def _mark(entry: Entry) -> Mark:
    return Mark(entry.maker, entry.origin or entry.tag, entry.attributes or {}, entry.value)
