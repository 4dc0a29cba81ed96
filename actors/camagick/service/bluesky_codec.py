"""Bluesky's documents as bytes and back: msgpack with numpy arrays, or JSON. Never pickle."""

from __future__ import annotations

import json
from typing import Any

import msgpack
import msgpack_numpy
import numpy as np

from camagick.errors import CamagickError

#: The kinds of numpy's dtypes that may come from outside: no objects, no structures.
_KINDS = "biufcSUmM"


class BadDocument(CamagickError):
    """What came is no document that may be read here."""


class Pickled(BadDocument):
    """A pickled document: to read it would run whatever its sender likes."""

    def __init__(self) -> None:
        super().__init__(
            "the documents are pickled, which could run any code here, so they are not read: "
            "publish them with Publisher(address, serializer=camagick.bluesky.dumps)"
        )


def dumps(document: Any) -> bytes:
    """Return a document as msgpack; numpy arrays in it as msgpack-numpy writes them.

    For ``serializer=`` of `bluesky.callbacks.zmq.Publisher`.

    Raises
    ------
    TypeError
        When something in it is neither plain nor of numpy; arrays of objects are refused.
    """
    return bytes(msgpack.packb(document, default=_encode))


def dumps_json(document: Any) -> bytes:
    """Return a document as JSON; numpy arrays in it become lists.

    Raises
    ------
    TypeError
        When something in it is neither plain nor of numpy.
    """
    return json.dumps(document, default=_listed).encode()


def loads(data: bytes) -> dict[str, Any]:
    """Return the document that bytes are: msgpack, with or without numpy arrays, or JSON.

    For ``deserializer=`` of `bluesky.callbacks.zmq.RemoteDispatcher`.

    Raises
    ------
    Pickled
        When it is pickled, as bluesky does when it is told nothing else.
    BadDocument
        When it is nothing of the kind.
    """
    # Pickles from protocol 2 on begin so; as msgpack it would be an empty map, with more behind it.
    if data[:1] == b"\x80" and len(data) > 1:
        raise Pickled
    try:
        if data[:1] in (b"{", b" ", b"\n"):
            document = json.loads(data)
        else:
            document = msgpack.unpackb(data, object_hook=_decode, strict_map_key=False)
    except (ValueError, TypeError, KeyError, RecursionError, msgpack.UnpackException) as error:
        raise BadDocument(f"neither msgpack nor JSON: {error}") from None
    if not isinstance(document, dict):
        raise BadDocument(f"a document is a dictionary, not {type(document).__name__}")
    return document


def _encode(thing: Any) -> Any:
    if isinstance(thing, (np.ndarray, np.generic)) and thing.dtype.kind not in _KINDS:
        raise TypeError(f"an array of {thing.dtype} has no place in a document")
    encoded = msgpack_numpy.encode(thing)
    if encoded is thing:
        raise TypeError(f"{type(thing).__name__} has no place in a document")
    return encoded


def _listed(thing: Any) -> Any:
    if isinstance(thing, (np.ndarray, np.generic)) and thing.dtype.kind in _KINDS:
        return thing.tolist()
    raise TypeError(f"{type(thing).__name__} has no place in a document")


def _decode(thing: dict[Any, Any]) -> Any:
    """Return the array, or the number, that a map of msgpack-numpy is; any other as it is.

    Not msgpack-numpy's own function, which would unpickle what claims to be an array of objects.
    """
    if b"complex" in thing:
        return complex(str(thing[b"data"]))
    if b"nd" not in thing:
        return thing
    kind = thing[b"type"]
    dtype = np.dtype(kind) if isinstance(kind, str) else None
    if dtype is None or dtype.kind not in _KINDS:
        raise BadDocument(f"an array of {kind!r} has no place in a document")
    array = np.frombuffer(thing[b"data"], dtype)
    return array.reshape(thing[b"shape"]) if thing[b"nd"] else array[0]
