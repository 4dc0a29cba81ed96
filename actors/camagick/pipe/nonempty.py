"""Drop what is empty."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from camagick.processor import ProcessorBase

if TYPE_CHECKING:
    from camagick.data import Data


class Processor(ProcessorBase):
    """Drop the tags whose value has no element, such as an array of length 0.

    Single numbers always stay; empty text and empty lists go.

    Examples
    --------
    Print a waveform only where it delivered anything::

        caspy --from-epics EXAMPLE:jedda --nonempty --npfun mean --to-summary
    """

    def process(self, data: Data, context: Data) -> Data:
        return data.select(lambda tag: not _is_empty(data[tag]))


def _is_empty(value: Any) -> bool:
    if isinstance(value, (str, bytes)):
        return not value
    return bool(np.size(value) == 0)
