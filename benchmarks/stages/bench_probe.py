"""A source that stamps what it makes, and a sink that prints how old it is: processors of a user's
own, found on `PYTHONPATH`."""  # noqa: D205, D209 - it is one sentence

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar

from camagick.processor import ProcessorBase, Role
from camagick.source.scratch import Processor as Scratch

if TYPE_CHECKING:
    from camagick.data import Data


class Source(Scratch):
    """As `--from-scratch`; the first element of the array `a` is the time when it was made."""

    def process(self, data: Data, context: Data) -> dict[str, Any]:
        """Return the arrays of one iteration."""
        made = super().process(data, context)
        made["a"][0] = time.monotonic()  # one clock for all processes of a machine
        return made


class Sink(ProcessorBase):
    """Prints the age of the array `a`, in microseconds."""

    role: Role = "sink"
    stateful: ClassVar[bool] = True

    def process(self, data: Data, context: Data) -> None:
        """Print one line."""
        age = (time.monotonic() - float(data["a"][0])) * 1e6
        sys.stdout.write(f"{age:.1f}\n")
        sys.stdout.flush()
