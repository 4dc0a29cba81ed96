"""What a browser is sent of an iteration: one binary message, small enough for a slow link.

The message is 4 bytes with the length of a header (little endian), the header as JSON, blanks up to
a multiple of 8, and the bytes of all arrays one after the other. Nothing in it is longer than what
a screen can show: lines have at most `POINTS` numbers, images at most `PIXELS` rows and columns.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from camagick.data import Data

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The most points of a line, and the most rows or columns of an image.
POINTS, PIXELS = 4096, 512
_TEXT = 2000
#: Attributes that are told, and letters of each.
_ATTRIBUTES, _BRIEF = 30, 60
#: Levels of an image: enough for a browser to choose others, and a log scale, without steps.
_LEVELS = 65535


class Small(NamedTuple):
    """What a browser can show of a value: a copy, no larger than a screen.

    Attributes
    ----------
    value
        The value, or some of it.
    full
        The shape of all of it.
    known
        Its attributes.
    """

    value: Any
    full: tuple[int, ...]
    known: Mapping[str, Any]


def keep(data: Data) -> dict[str, Small]:
    """Return what a browser can show of an iteration, by tag: it shares no memory with it."""
    return {tag: _small(value, data.attributes(tag)) for tag, value in data.items()}


def _small(value: Any, known: Mapping[str, Any]) -> Small:
    if isinstance(value, str):
        return Small(value[:_TEXT], (), known)
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        return Small(str(value)[:_TEXT], (), known)
    shape = array.shape
    if array.dtype.kind == "c":
        array = np.abs(array)
    if array.dtype.kind not in "biuf" or array.size == 0:
        return Small(str(value)[:_TEXT] if array.ndim == 0 else _called(array), shape, known)
    if array.size == 1:
        return Small(float(array.reshape(())), shape, known)
    if array.ndim == 1:
        return Small(envelope(array.astype(np.float32), POINTS), shape, known)
    if array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3 and array.dtype == np.uint8):
        return Small(thinned(array, PIXELS).copy(), shape, known)
    return Small(_called(array), shape, known)


def pack(
    data: Data | Mapping[str, Small], seq: int, looks: Mapping[str, Any] | None = None
) -> bytes:
    """Return an iteration as a browser is sent it.

    Parameters
    ----------
    data
        Its tags, or what `keep` has left of them. Numbers, 1-D and 2-D arrays, and 3-D arrays of
        RGB colours are drawn; of anything else a text is shown.
    seq
        Number of the iteration.
    looks
        How to draw a tag: what is added to its entry.
    """
    kept: Mapping[str, Small] = keep(data) if isinstance(data, Data) else data
    chunks: list[bytes] = []
    tags = []
    size = 0
    for tag, small in kept.items():
        entry, payload = _packed(small)
        entry |= {"tag": tag, "at": size} | _known(small.known) | (looks or {}).get(tag, {})
        chunks.append(payload + bytes(-len(payload) % 8))
        size += len(chunks[-1])
        tags.append(entry)
    header = json.dumps({"seq": seq, "tags": tags}, allow_nan=False).encode()
    header += b" " * (-(len(header) + 4) % 8)
    return b"".join([len(header).to_bytes(4, "little"), header, *chunks])


def _known(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is shown of the attributes."""
    found = {name: attributes[name] for name in ("units", "severity") if attributes.get(name)}
    stamp = attributes.get("timestamp")
    if isinstance(stamp, (int, float)) and math.isfinite(stamp):
        found["timestamp"] = float(stamp)
    shown = {name: value for name, value in found.items() if isinstance(value, (str, int, float))}
    texts = [f"{name}: {_brief(attributes[name])}" for name in list(attributes)[:_ATTRIBUTES]]
    return shown | ({"known": texts} if texts else {})


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _BRIEF else text[:_BRIEF] + "..."


def _packed(small: Small) -> tuple[dict[str, Any], bytes]:
    """Return what describes a value, and its bytes."""
    value = small.value
    if isinstance(value, str):
        return {"kind": "text", "text": value}, b""
    if isinstance(value, float):
        return {"kind": "number", "value": value if math.isfinite(value) else None}, b""
    if value.ndim == 1:
        return {"kind": "line", "points": len(value), "full": small.full[0]}, value.tobytes()
    if value.ndim == 2:
        return _image(small)
    shape = {"shape": list(value.shape[:2]), "full": list(small.full[:2])}
    return {"kind": "colours"} | shape, value.tobytes()


def _called(array: np.ndarray) -> str:
    return f"{array.dtype} array of shape {array.shape}"


def _image(small: Small) -> tuple[dict[str, Any], bytes]:
    image = small.value.astype(np.float32)
    good = np.isfinite(image)
    finite = image if good.all() else image[good]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    scale = (_LEVELS - 1) / (high - low) if high > low else 0.0
    with np.errstate(invalid="ignore"):  # what is no number becomes 0
        levels = np.where(good, 1.5 + (image - low) * scale, 0.0).astype("<u2")
    entry = {"kind": "image", "shape": list(image.shape), "full": list(small.full)}
    return entry | {"low": low, "high": high}, levels.tobytes()


def envelope(line: np.ndarray, most: int) -> np.ndarray:
    """Return a line of at most `most` points that has the peaks of the whole one.

    Parameters
    ----------
    line
        Numbers, shape (n,).
    most
        An even number; the smallest and the largest of each part are kept.
    """
    if len(line) <= most:
        return np.ascontiguousarray(line)
    parts = most // 2
    length = len(line) // parts
    body = line[: parts * length].reshape(parts, length)
    both = np.stack([body.min(axis=1), body.max(axis=1)], axis=1)
    both[-1, 1] = max(both[-1, 1], line[parts * length :].max(initial=-np.inf))
    return np.ascontiguousarray(both.reshape(-1))


def thinned(image: np.ndarray, most: int) -> np.ndarray:
    """Return an image of at most `most` rows and columns, of every n-th pixel."""
    rows, columns = (-(-size // most) for size in image.shape[:2])
    return np.ascontiguousarray(image[::rows, ::columns])
