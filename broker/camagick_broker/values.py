"""Values to bytes and back: a template, the numbers, small arrays, the rest; large arrays behind.

The body of a data message is

===========================  =====================================================================
what                         how
===========================  =====================================================================
length of the template       4 bytes, little-endian, unsigned
template                     msgpack, see below
numbers                      one behind the other without gaps, little-endian
small arrays                 their items in C order, one array behind the other
loose values                 a msgpack array; nothing at all where the template speaks of none
===========================  =====================================================================

where the numbers, and with them each small array, begin at multiples of 8 bytes.

The *template* is everything that seldom changes from message to message. Each message has it in
full, so that any message can be read without those before it; but who sees the same bytes again
has checked them already. It is ``[lineage, context, data]``, where the last two are lists of
entries ``[tag, maker, origin, form, attributes]`` (`origin` is nil where it is the tag,
`attributes` is nil where there are none, else a map from name to form). A form says how a value is
written:

=============================  ===================================================================
form                           value
=============================  ===================================================================
``"float"``, ``"int"``,        a number of Python: among the numbers, in 8, 8, or 1 byte; wider
``"bool"``                     integers are loose
``"<f8"`` and the like         a numpy scalar of bool, int, float or complex: among the numbers
``[0, dtype, shape]``          a small array
``[1, dtype, dimensions]``     a small array whose sizes stand among the numbers, in 8 bytes each,
                               unsigned; these arrays lie behind the others
``[2, dtype, shape]``          an array in a raw buffer: the first such form speaks of the first
``[3, dtype, shape,            an array in shared memory: segment, generation and offset among the
strides]``                     numbers, each in 8 bytes, unsigned
``[nil]``                      None
``[text]``                     of an attribute only: this text
``"loose"``                    the next loose value
=============================  ===================================================================

Loose values are msgpack's own types; numpy scalars, complex numbers and small arrays in them are
maps as msgpack-numpy writes them; and there are these extensions:

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

from camagick_broker.arrays import BUFFER_BYTES, MAX_DEPTH, MAX_EXTENSION_BYTES, SLOT_BYTES
from camagick_broker.encoder import Encoder
from camagick_broker.loose import SlotReader
from camagick_broker.mark import Mark
from camagick_broker.reader import Body, decode

__all__ = [
    "BUFFER_BYTES", "MAX_DEPTH", "MAX_EXTENSION_BYTES", "SLOT_BYTES", "Body", "Encoder", "Mark",
    "SlotReader", "decode",
]  # fmt: skip
