"""The outgoing side of an actor's protocol: messages as effects, in order. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from camagick_broker.construct import new_tuple
from camagick_broker.events import Anew, ToConsumers, ToLoop, ToProducer
from camagick_broker.sizes import Sizes, size_of
from camagick_broker.wire import Head, Kind, pack

if TYPE_CHECKING:
    from collections.abc import Iterable

    from camagick_broker.wiring import Wiring


class Post:
    """Collects what one actor has to send.

    Attributes
    ----------
    effects
        What has to be carried out, in order; always the same list, which whoever does so empties.
    sizes
        How large messages are from here on, as every STATE says where the window is fitted.
    """

    def __init__(self, wiring: Wiring) -> None:
        self.effects: list[Any] = []
        self._wiring = wiring
        self.sizes = Sizes(wiring.window, wiring.least if wiring.sends_far else None)

    def message(self, kind: Kind, edge: int, seq: int) -> Head:
        """Return a prefix in the name of this actor."""
        wiring = self._wiring
        largest = self.sizes.largest if wiring.fitted and kind is Kind.STATE else 0
        return Head(
            kind, wiring.run, edge, wiring.number, seq, wiring.incarnation, wiring.incarnation,
            sent_ns=largest,
        )  # fmt: skip

    def on(self, frames: list[Any], size: int) -> None:
        """Send a message of so many bytes to all consumers."""
        self.effects.append(new_tuple(ToConsumers, (frames, size, None)))

    def anew(self, consumer: int) -> None:
        """Forget what waits for a predecessor of this consumer."""
        self.effects.append(Anew(consumer))

    def again(self, messages: Iterable[list[Any]], consumer: int) -> None:
        """Send messages to one consumer once more."""
        self.effects += [ToConsumers(frames, size_of(frames), consumer) for frames in messages]

    def end(self, seq: int) -> list[Any]:
        """Return the message that there is no iteration `seq`."""
        return [pack(self.message(Kind.END, self._wiring.number, seq))]

    def aside(self, consumer: int, kind: Kind, seq: int) -> None:
        """Say something to one consumer that is no part of the stream."""
        frames = [pack(self.message(kind, self._wiring.number, seq))]
        self.effects.append(ToConsumers(frames, size_of(frames), consumer))

    def back(self, producer: int, kind: Kind, seq: int) -> None:
        """Say something to a producer."""
        self.effects.append(ToProducer(producer, pack(self.message(kind, producer, seq))))

    def loop(self, head: int, kind: Kind, seq: int) -> None:
        """Say something to a head."""
        message = self.message(kind, self._wiring.number, seq)
        self.effects.append(ToLoop(head, pack(message)))
