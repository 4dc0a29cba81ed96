"""Which frame of a growing data set an array becomes: ``mode=`` and ``index=`` of file sinks."""

from __future__ import annotations

from typing import Any, NamedTuple

from camagick.tools.url import plain

#: Frame numbers are row numbers of a file: signed 64 bit.
_LARGEST = 2**62


class Refused(Exception):
    """The mode does not permit to write a frame of that number.

    Attributes
    ----------
    index
        The number asked for; what stood there where it was none.
    frames
        How many frames there are.
    """

    def __init__(self, why: str, index: Any = None, frames: int | None = None) -> None:
        super().__init__(why)
        self.why, self.index, self.frames = why, index, frames


class Mode(NamedTuple):
    """What may happen to frames that are there already.

    Attributes
    ----------
    letter
        'a' append, 'o' overwrite, 'O' overwrite also data sets of another shape or type,
        'x' start the data set again.
    gaps
        Whether a frame may lie behind the end ('+'); those between are then filled with zeros.
    """

    letter: str
    gaps: bool

    @property
    def replaces(self) -> bool:
        """Whether a data set that does not fit the array is thrown away."""
        return self.letter == "O"


class Slot(NamedTuple):
    """Where a frame goes.

    Attributes
    ----------
    frame
        Its number.
    length
        How many frames the data set has afterwards.
    clear
        Whether the frames that are there are dropped first.
    """

    frame: int
    length: int
    clear: bool = False


def parse_mode(text: str) -> Mode:
    """Return the mode that a text like ``a+`` stands for.

    Raises
    ------
    ValueError
        When it stands for none.
    """
    letter, plus = text[:1], text[1:]
    if letter not in ("a", "o", "O", "x") or plus not in ("", "+"):
        raise ValueError(
            f"mode={text!r}: use a (append), o (overwrite), O (also other shapes), x (start again),"
            " with a + where gaps are allowed: a+"
        )
    return Mode(letter, plus == "+")


def frame_number(value: Any) -> int:
    """Return the number of a frame that stands in a context: an integer, however it is wrapped.

    Raises
    ------
    Refused
        When it is not one whole number, or below zero.
    """
    number = plain(value)
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if not isinstance(number, int):
        raise Refused("Frame index is not a whole number", number)
    if not 0 <= number < _LARGEST:
        raise Refused("Frame index out of range", number)
    return int(number)


def place(mode: Mode, frame: int | None, length: int) -> Slot:
    """Return where a frame goes in a data set of `length` frames.

    Parameters
    ----------
    mode
        What is permitted.
    frame
        Number asked for; None appends.
    length
        Number of frames that are there.

    Raises
    ------
    Refused
        When `mode` does not permit it.
    """
    if frame is None or frame == length:
        return Slot(length, length + 1)
    if frame > length:
        if not mode.gaps:
            raise Refused("Sparse writing not permitted", frame, length)
        return Slot(frame, frame + 1)
    if mode.letter == "a":
        raise Refused("Overwrite not permitted", frame, length)
    if mode.letter == "x":
        return Slot(frame, frame + 1, clear=True)
    return Slot(frame, length)
