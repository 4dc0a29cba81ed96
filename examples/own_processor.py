"""A processor of one's own: PYTHONPATH=examples caspy ... --own_processor:Threshold 0.5."""

from __future__ import annotations

from typing import Any

import numpy as np

from camagick.errors import BadOption
from camagick.processor import ProcessorBase


class Threshold(ProcessorBase):
    """Set to zero whatever lies below a limit.

    Parameters
    ----------
    limit : float
        Smaller numbers become 0.
    """

    def __init__(self, limit: float = 0.0) -> None:
        if not isinstance(limit, (int, float)):
            raise BadOption(f"{limit!r} is not a number")
        self.limit = limit

    def process(self, data: Any, context: Any) -> dict[str, Any]:
        """Return a new array for each tag."""
        return {tag: np.where(np.less(value, self.limit), 0, value) for tag, value in data.items()}
