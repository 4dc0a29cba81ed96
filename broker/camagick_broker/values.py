"""Values to bytes and back: msgpack for what is small, raw buffers for large arrays. No I/O.

The body of a data message is the msgpack array ``[lineage, context, data]``, where the last two are
lists of entries ``[tag, maker, origin, attributes, value]`` (`origin` is nil where it is the tag,
`attributes` is nil where there are none). numpy scalars and small arrays are written as
msgpack-numpy does; beside msgpack's own types there are these extensions:

=====  ===================================================================================
code   content (msgpack)
=====  ===================================================================================
1      tuple: its items as an array
2      array in a raw buffer: ``[index, dtype, shape]``
3      array in shared memory: ``[segment, generation, offset, dtype, shape, strides]``
=====  ===================================================================================

Nothing is ever unpickled: object and structured dtypes are refused at both ends. Types come back
as they were, with few exceptions: a named tuple as a tuple, a bytearray as bytes, what derives from
a plain type as that type. A map whose keys are exactly those of msgpack-numpy's is taken for one.
"""

from __future__ import annotations

from camagick_broker.arrays import BUFFER_BYTES, MAX_DEPTH, MAX_EXTENSION_BYTES
from camagick_broker.encoder import Encoder
from camagick_broker.reader import Body, Entry, SlotReader, decode

__all__ = [
    "BUFFER_BYTES", "MAX_DEPTH", "MAX_EXTENSION_BYTES", "Body", "Encoder", "Entry", "SlotReader",
    "decode",
]  # fmt: skip
