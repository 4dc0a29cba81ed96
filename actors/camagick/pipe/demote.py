"""From the data to the context."""

from __future__ import annotations

from typing import TYPE_CHECKING

from camagick.processor import ProcessorBase

if TYPE_CHECKING:
    from camagick.data import Data


class Processor(ProcessorBase):
    r"""Move tags out of the data into the context.

    What is in the context is not processed or stored, but can be used by name: in paths of files
    (``{scan:03d}``), in new names (``--rename``), in expressions (``--slice``, ``--eval``), as
    the number of a frame. The context lives as long as the data it came with.

    Parameters
    ----------
    *tags : str
        Names of the tags to move; those that are not there are ignored. Without any, all of them
        are moved.

    Examples
    --------
    The number of the scan names the group in the file::

        caspy --from-ioc scan="scan(0)" prefix=EXAMPLE: hang=False --from-epics EXAMPLE:jedda \
              --demote scan --to-hdf5 my-data.h5#scan-{scan:03d}/data
    """

    def __init__(self, *tags: str) -> None:
        self.tags = tuple(str(tag) for tag in tags)

    def process(self, data: Data, context: Data) -> Data:
        moved = [tag for tag in self.tags or data if tag in data]
        context.take(data, moved)
        return data.without(moved)
