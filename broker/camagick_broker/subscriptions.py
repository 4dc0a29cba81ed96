r"""Which consumers of a multicast edge can be reached. No I/O.

A consumer subscribes to the data and to a topic of its own, ``~NUMBER\\0INCARNATION``; libzmq sends
the latter last. Only when it has arrived will data reach the consumer, and only then its hello,
which comes by another socket, counts.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from camagick_broker.errors import RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from camagick_broker.wire import Head

#: Topic of everything that goes to all consumers of a multicast edge.
TOPIC = b"D"
_IDENTITY = re.compile(rb"~([0-9]{1,10})\0([0-9]{1,10})")
_MOST_TOPICS = 1024


def identity(number: int, incarnation: int) -> bytes:
    """Return the topic of one consumer."""
    return b"~%d\0%d" % (number, incarnation)


class Subscriptions:
    """What the consumers of one output have subscribed to.

    Parameters
    ----------
    consumers
        Their numbers.
    """

    def __init__(self, consumers: Iterable[int]) -> None:
        self._consumers = frozenset(consumers)
        self._topics: Counter[bytes] = Counter()  # a new connection may come before an old one ends
        self._hellos: dict[int, Head] = {}

    def take(self, frame: bytes) -> None:
        """Take what an XPUB has received.

        Raises
        ------
        RemoteProtocolError
            For anything but the subscriptions of a consumer.
        """
        verb, topic = frame[:1], frame[1:]
        if verb not in (b"\0", b"\1"):
            raise RemoteProtocolError(f"not a subscription: {frame[:40]!r}")
        if topic == TOPIC:
            return
        parts = _IDENTITY.fullmatch(topic)
        if parts is None or int(parts[1]) not in self._consumers:
            raise RemoteProtocolError(f"nobody's subscription: {topic[:40]!r}")
        if verb == b"\1":
            if len(self._topics) >= _MOST_TOPICS:
                raise RemoteProtocolError(f"too many subscriptions: {topic!r}")
            self._topics[topic] += 1
        elif self._topics[topic] > 1:
            self._topics[topic] -= 1
        else:
            del self._topics[topic]

    def hello(self, head: Head) -> None:
        """Keep a consumer's hello until it counts.

        Raises
        ------
        RemoteProtocolError
            For the hello of anybody else.
        """
        if head.sender not in self._consumers:
            raise RemoteProtocolError(f"no consumer of this actor: {head.sender}")
        self._hellos[head.sender] = head

    def admitted(self) -> Iterator[Head]:
        """Yield, once, each hello whose subscription is here as well."""
        for sender, head in list(self._hellos.items()):
            if identity(sender, head.incarnation) in self._topics:
                del self._hellos[sender]
                yield head

    def topics(self, consumer: int) -> list[bytes]:
        """Return the topics by which one consumer is reached."""
        return [topic for topic in self._topics if topic.startswith(b"~%d\0" % consumer)]
