"""What outlives an actor's process: a few numbers in memory that the launcher holds. No I/O.

An actor writes how far it has come, as it comes; whoever takes its place begins there. Each number
is one aligned 8-byte word with one writer, so that a kill at any moment leaves a number that was
true: an actor writes it *before* it tells others what follows from it.
"""

from __future__ import annotations

import mmap

_WORDS = 8


#: Where the words stand that are written or read for each iteration, see `Row`.
BEGUN, MADE, LOW = 0, 1, 2


class _Word:
    """One number of a row."""

    def __init__(self, place: int) -> None:
        self._place = place

    def __get__(self, row: Row, _: type[Row]) -> int:
        return row.words[self._place]

    def __set__(self, row: Row, value: int) -> None:
        row.words[self._place] = value


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

    __slots__ = ("words",)

    def __init__(self, words: memoryview | None = None) -> None:
        self.words = memoryview(bytearray(8 * _WORDS)).cast("Q") if words is None else words

    begun, made, low, go = _Word(BEGUN), _Word(MADE), _Word(LOW), _Word(3)
    ended, over, failed, beat = _Word(4), _Word(5), _Word(6), _Word(7)


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
