"""What outlives an actor's process: a few numbers in memory that the launcher holds. No I/O.

An actor writes how far it has come, as it comes; whoever takes its place begins there. Each number
is one aligned 8-byte word with one writer, so that a kill at any moment leaves a number that was
true: an actor writes it *before* it tells others what follows from it.
"""

from __future__ import annotations

import mmap

_WORDS = 8


class Row:
    """The numbers of one actor.

    Attributes
    ----------
    begun
        Iterations that its processor has begun; above `made` while it is at work.
    made
        Iterations that it has done. What it made of them is in its journal, if it has one.
    low
        Everything below this iteration has ended, here and downstream.
    go
        For a head: everything below this iteration may start.
    ended
        1 + the iteration that it has said does not exist; 0 before that.
    over
        1 once all that it was given is safe, and nothing is left to do for it.
    failed
        1 once its processor has failed, and it has said so.
    beat
        Goes up while its sockets are served, once a second or more often.
    """

    __slots__ = ("_words",)

    def __init__(self, words: memoryview | None = None) -> None:
        self._words = memoryview(bytearray(8 * _WORDS)).cast("Q") if words is None else words

    @property
    def begun(self) -> int:
        return self._words[0]

    @begun.setter
    def begun(self, value: int) -> None:
        self._words[0] = value

    @property
    def made(self) -> int:
        return self._words[1]

    @made.setter
    def made(self, value: int) -> None:
        self._words[1] = value

    @property
    def low(self) -> int:
        return self._words[2]

    @low.setter
    def low(self, value: int) -> None:
        self._words[2] = value

    @property
    def go(self) -> int:
        return self._words[3]

    @go.setter
    def go(self, value: int) -> None:
        self._words[3] = value

    @property
    def ended(self) -> int:
        return self._words[4]

    @ended.setter
    def ended(self, value: int) -> None:
        self._words[4] = value

    @property
    def over(self) -> int:
        return self._words[5]

    @over.setter
    def over(self, value: int) -> None:
        self._words[5] = value

    @property
    def failed(self) -> int:
        return self._words[6]

    @failed.setter
    def failed(self, value: int) -> None:
        self._words[6] = value

    @property
    def beat(self) -> int:
        return self._words[7]

    @beat.setter
    def beat(self, value: int) -> None:
        self._words[7] = value


class Ledger:
    """The rows of all actors of one host, in shared memory that forked processes inherit.

    Parameters
    ----------
    highest
        The highest number of an actor.
    """

    def __init__(self, highest: int) -> None:
        self._words = memoryview(mmap.mmap(-1, 8 * _WORDS * (highest + 1))).cast("Q")

    def __getitem__(self, number: int) -> Row:
        """Return the row of an actor."""
        return Row(self._words[_WORDS * number : _WORDS * (number + 1)])
