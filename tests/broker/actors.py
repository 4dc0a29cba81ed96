"""Actors for tests: a real station in a thread, and a processor that the test plays or leaves."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Any

from camagick_broker.edges import Joined
from camagick_broker.encoder import Encoder
from camagick_broker.protocol import Permit, Stop
from camagick_broker.station import Station
from camagick_broker.wire import Head, Kind, pack
from camagick_broker.wiring import Wiring
from tests.broker.conftest import DEADLINE_S, RUN

if TYPE_CHECKING:
    from collections.abc import Mapping


def frames_of(number: int, seq: int, value: Any) -> list[Any]:
    """Return a good message."""
    body, buffers = Encoder()({}, [], [["tag", number, None, None, value]])
    head = Head(Kind.DATA, RUN, number, number, seq, buffers=len(buffers))
    return [pack(head, body), *buffers]


def wirings(folder: str, edges: Mapping[int, tuple[int, ...]], **options: Any) -> dict[int, Wiring]:
    """Return the wiring of every actor of a pipe."""
    numbers = sorted({*edges, *(one for many in edges.values() for one in many)})
    inputs = {n: tuple(one for one in numbers if n in edges.get(one, ())) for n in numbers}
    shared: dict[str, Any] = {
        "run": RUN, "bus": "test", "bus_dir": folder, "gates": (),
        "heads": tuple(n for n in numbers if not inputs[n]),
        "terminals": tuple(n for n in numbers if not edges.get(n)), **options,
    }  # fmt: skip
    return {
        n: Wiring(number=n, name=f"a.{n}", inputs=inputs[n], consumers=edges.get(n, ()), **shared)
        for n in numbers
    }


class Actor:
    """A station in a thread; `play` is a processor that adds nothing."""

    def __init__(self, wiring: Wiring) -> None:
        self.wiring = wiring
        self.inbox: queue.Queue[Any] = queue.Queue()
        self.station = Station(wiring, self.inbox.put, lambda: {"seq": len(self.seen)})
        self.error: BaseException | None = None
        self.seen: list[Any] = []  # the value of each iteration, from the first input
        self._threads = [threading.Thread(target=self._run)]
        self._threads[0].start()

    def _run(self) -> None:
        try:
            self.station.run()
        except BaseException as error:  # noqa: BLE001 - to be looked at by the test
            self.error = error

    def get(self) -> Any:
        """Return what was delivered next."""
        return self.inbox.get(timeout=DEADLINE_S)

    def play(self, value: Any = None, end_after: int | None = None) -> None:
        """Process, in a thread: heads send `value` of the iteration, others what they got."""
        self._threads.append(threading.Thread(target=self._play, args=(value, end_after)))
        self._threads[-1].start()

    def _play(self, value: Any, end_after: int | None) -> None:
        self.station.call("started")
        seq = 0
        while seq != end_after:
            if self.wiring.is_head:
                self.station.call("armed", seq)
            item = self.get()
            if isinstance(item, Permit):
                made = value(seq)
            elif isinstance(item, Joined) and not item.ended:
                made = item.messages[0].body.data["tag"].value
            elif isinstance(item, Stop) and not self.wiring.is_head:
                continue
            else:
                break
            self.seen.append(made)
            has_consumers = self.wiring.consumers
            frames = frames_of(self.wiring.number, seq, made) if has_consumers else []
            self.station.call("sent", seq, frames)
            seq += 1
        self.end(seq)

    def end(self, seq: int) -> None:
        self.station.call("ended", seq)
        self.station.call("closed")

    def join(self) -> None:
        """Wait until it has ended by itself."""
        for thread in self._threads:
            thread.join(DEADLINE_S)
        assert not any(thread.is_alive() for thread in self._threads), self.wiring.name

    def cut(self) -> None:
        """End it, whatever it does."""
        self.station.cut()
        self.inbox.put(None)
        self.join()
