"""How a panel is to look: ``image,log,0:100,free``, as `--to-plot` takes it for a tag."""

from __future__ import annotations

import math
from typing import NamedTuple

#: What a panel can show.
KINDS = ("auto", "history", "line", "image", "text")
_ASPECTS = ("equal", "free")


class BadStyle(ValueError):
    """No such style; the message says what there is."""


class Style(NamedTuple):
    """How a panel is to look.

    Attributes
    ----------
    kind
        One of `KINDS`.
    log
        Whether values (the colours of an image, the vertical axis of a line) have a log scale.
    low, high
        Levels: what is drawn at the ends of that scale; None where they follow the data.
    aspect
        'equal' for square pixels, 'free' to fill the panel, '' for what suits the image.
    """

    kind: str = "auto"
    log: bool = False
    low: float | None = None
    high: float | None = None
    aspect: str = ""

    @classmethod
    def parse(cls, text: str) -> Style:
        """Return the style that words between commas name, in any order.

        Raises
        ------
        BadStyle
            When a word is none of them.
        """
        style = cls()
        for word in filter(None, (part.strip() for part in str(text).split(","))):
            if word in KINDS:
                style = style._replace(kind=word)
            elif word == "log":
                style = style._replace(log=True)
            elif word in _ASPECTS:
                style = style._replace(aspect=word)
            elif ":" in word:
                low, high = _levels(word)
                style = style._replace(low=low, high=high)
            else:
                names = ", ".join((*KINDS, "log", *_ASPECTS))
                raise BadStyle(f"{word!r}: use {names}, or levels such as 0:100")
        if style.log and style.low is not None and style.low <= 0:
            raise BadStyle(f"the level {style.low:g} is not on a log scale: more than 0")
        return style


def _levels(word: str) -> tuple[float | None, float | None]:
    """Return the two ends of ``LOW:HIGH``, either of which may be left out."""
    try:
        low, high = (float(part) if part.strip() else None for part in word.split(":"))
    except ValueError:
        raise BadStyle(f"{word!r}: levels are LOW:HIGH, such as 0:100 or :100") from None
    given = [level for level in (low, high) if level is not None]
    if not all(map(math.isfinite, given)) or (len(given) == 2 and given[0] >= given[1]):
        raise BadStyle(f"{word!r}: the first level has to be below the second")
    return low, high
