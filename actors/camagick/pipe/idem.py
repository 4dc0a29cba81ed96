"""Pass everything on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from camagick.processor import ProcessorBase

if TYPE_CHECKING:
    from camagick.data import Data


class Processor(ProcessorBase):
    """Pass all data on as it is.

    Alone in a fanout it keeps the original next to what the other branches make of it; an empty
    chain ``[ ]`` does the same.

    Examples
    --------
    The image, and the sum over it::

        caspy --from-epics EXAMPLE:jedda { [ --npfun sum --rename {}_sum ] --idem } --to-summary
    """

    def process(self, data: Data, context: Data) -> Data:
        return data
