"""What goes into an actor's protocol and what comes out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from camagick_broker.wire import Head


class Arrived(NamedTuple):
    """A message as it came.

    Attributes
    ----------
    head
        Its prefix.
    body
        Of data that were expected, a `camagick_broker.values.Body`; of anything else, the bytes.
    buffers
        The raw buffers behind it, which own their memory.
    """

    head: Head
    body: Any
    buffers: list[Any]


class Permit(NamedTuple):
    """For a head: iteration `seq` may start."""

    seq: int


class Stop(NamedTuple):
    """For a source: start no further iteration, and end."""


class ToConsumers(NamedTuple):
    """Send a message of so many bytes to all consumers, or to one of them again."""

    frames: list[Any]
    size: int
    consumer: int | None = None


class Anew(NamedTuple):
    """A consumer was restarted: what waits to be sent to its predecessor alone is of no use."""

    consumer: int


class ToProducer(NamedTuple):
    """Send a prefix back to the producer of an input."""

    producer: int
    frame: bytes


class ToLoop(NamedTuple):
    """Send a prefix to the loop socket of a head."""

    head: int
    frame: bytes


#: What is sent; whatever else comes out of a protocol is for the processor's thread.
SENT: Final = frozenset([ToConsumers, Anew, ToProducer, ToLoop])
