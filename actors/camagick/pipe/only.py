"""Keep some tags."""

from __future__ import annotations

from typing import TYPE_CHECKING

from camagick.errors import BadOption
from camagick.processor import ProcessorBase
from camagick.tools.regex import matcher

if TYPE_CHECKING:
    from camagick.data import Data


class Processor(ProcessorBase):
    r"""Keep only the tags that match a pattern, and drop the others.

    Parameters
    ----------
    *patterns : str
        Regular expressions. A tag is kept when it matches any of them from its beginning on, its
        end is free: ``a`` keeps ``ab`` too, ``a$`` does not. Upper and lower case differ.

    Examples
    --------
    Sum up the array, and leave the number alone::

        caspy --from-epics EXAMPLE:jedda EXAMPLE:iffy \
              { [ --only .*jedda --npfun sum ] --only .*iffy } \
              --to-summary mode=table
    """

    def __init__(self, *patterns: str) -> None:
        if not patterns:
            raise BadOption("only: needs at least one pattern of the tags to keep")
        try:
            self._matches = matcher(patterns)
        except ValueError as error:
            raise BadOption(f"only: {error}") from None

    def process(self, data: Data, context: Data) -> Data:
        return data.select(self._matches)
