"""From the context to the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from camagick.processor import ProcessorBase

if TYPE_CHECKING:
    from camagick.data import Data


class Processor(ProcessorBase):
    r"""Move tags out of the context back into the data.

    The opposite of ``--demote``. A tag of that name in the data is replaced.

    Parameters
    ----------
    *tags : str
        Names of the tags to move; those that are not there are ignored. Without any, all of them
        are moved.

    Examples
    --------
    Keep a number out of a calculation, and have it back afterwards::

        caspy --from-epics EXAMPLE:jedda EXAMPLE:iffy --demote EXAMPLE_iffy --npfun sum \
              --promote EXAMPLE_iffy --to-summary mode=table
    """

    def __init__(self, *tags: str) -> None:
        self.tags = tuple(str(tag) for tag in tags)

    def process(self, data: Data, context: Data) -> Data:
        moved = [tag for tag in dict.fromkeys(self.tags or context) if tag in context]
        result = data.copy()
        result.take(context, moved)
        for tag in moved:
            del context[tag]
            context.marks.pop(tag, None)
        return result
