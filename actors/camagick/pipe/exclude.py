"""Drop some tags."""

from __future__ import annotations

from typing import TYPE_CHECKING

from camagick.errors import BadOption
from camagick.processor import ProcessorBase
from camagick.tools.regex import matcher

if TYPE_CHECKING:
    from camagick.data import Data


class Processor(ProcessorBase):
    """Drop the tags that match a pattern, and keep the others.

    Parameters
    ----------
    *patterns : str
        Regular expressions. A tag is dropped when it matches any of them from its beginning on,
        its end is free: ``a`` drops ``ab`` too, ``a$`` does not. Upper and lower case differ.

    Examples
    --------
    Everything but the image::

        caspy --from-epics EXAMPLE:jedda EXAMPLE:iffy --exclude .*jedda --to-summary
    """

    def __init__(self, *patterns: str) -> None:
        if not patterns:
            raise BadOption("exclude: needs at least one pattern of the tags to drop")
        try:
            self._matches = matcher(patterns)
        except ValueError as error:
            raise BadOption(f"exclude: {error}") from None

    def process(self, data: Data, context: Data) -> Data:
        matches = self._matches
        return data.select(lambda tag: not matches(tag))
