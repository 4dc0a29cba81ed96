"""Bytes to values, see `camagick_broker.values`. No I/O."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import msgpack

from camagick_broker.cache import Cache
from camagick_broker.errors import RemoteProtocolError
from camagick_broker.forms import LENGTH
from camagick_broker.loose import SlotReader
from camagick_broker.template import Body, Template

if TYPE_CHECKING:
    from collections.abc import Sequence

Buffer = Any  # anything with the buffer protocol: bytes, memoryview, an array

__all__ = ["Body", "SlotReader", "decode"]


def decode(body: Buffer, buffers: Sequence[Buffer], slots: SlotReader | None = None) -> Body:
    """Read a body.

    Parameters
    ----------
    body
        The first part; small arrays become read-only views into it, or into a copy of it.
    buffers
        The raw buffers behind it; large arrays become read-only views into them.
    slots
        Reads arrays that lie in shared memory; None where there is none.

    Raises
    ------
    RemoteProtocolError
        For anything that is not exactly a body with these buffers.
    """
    # As bytes it lets go of ZeroMQ's frame, is read-only, and is quicker to read.
    packed = body if type(body) is bytes else bytes(body)
    try:
        return _template_of(packed).read(packed, buffers, slots)
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, msgpack.UnpackException,
            BufferError, OverflowError, MemoryError, struct.error) as error:  # fmt: skip
        text = str(error) or type(error).__name__
        raise RemoteProtocolError(f"unreadable body: {text:.200}") from None


def _template_of(body: bytes) -> Template:
    end = LENGTH.size + LENGTH.unpack_from(body)[0]
    if end > len(body):
        raise ValueError(f"a template of {end - LENGTH.size} bytes in a body of {len(body)}")
    packed = body[LENGTH.size : end]
    template = _templates.get(packed)
    if template is None:
        template = Template(packed)
        _templates.put(packed, template, len(packed))
    return template


#: How many templates to keep, and of how many bytes altogether; as objects they are larger.
_templates: Cache[bytes, Template] = Cache(128, 1 << 19)
