"""What a browser is sent of an iteration: one binary message, small enough for a slow link.

The message is 4 bytes with the length of a header (little endian), the header as JSON, blanks up to
a multiple of 8, and the bytes of all arrays one after the other. Nothing in it is longer than what
a screen can show: lines have at most `POINTS` numbers, images at most `PIXELS` rows and columns.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camagick.data import Data

#: The most points of a line, and the most rows or columns of an image.
POINTS, PIXELS = 4096, 512
_TEXT = 2000


def pack(data: Data, seq: int) -> bytes:
    """Return an iteration as a browser is sent it.

    Parameters
    ----------
    data
        Its tags. Numbers, 1-D and 2-D arrays, and 3-D arrays of RGB colours are drawn; of anything
        else a text is shown.
    seq
        Number of the iteration.
    """
    chunks: list[bytes] = []
    tags = []
    size = 0
    for tag, value in data.items():
        entry, payload = _packed(value)
        entry |= {"tag": tag, "at": size} | _known(data.attributes(tag))
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
    return {name: value for name, value in found.items() if isinstance(value, (str, int, float))}


def _packed(value: Any) -> tuple[dict[str, Any], bytes]:
    """Return what describes a value, and its bytes."""
    if isinstance(value, str):
        return {"kind": "text", "text": value[:_TEXT]}, b""
    array = np.asarray(value)
    if array.dtype.kind not in "biuf" or array.size == 0:
        text = str(value)[:_TEXT] if array.ndim == 0 else _called(array)
        return {"kind": "text", "text": text}, b""
    if array.size == 1:
        number = float(array.reshape(()))
        return {"kind": "number", "value": number if math.isfinite(number) else None}, b""
    if array.ndim == 1:
        return _line(array)
    if array.ndim == 2:
        return _image(array)
    if array.ndim == 3 and array.shape[2] == 3 and array.dtype == np.uint8:
        small = thinned(array, PIXELS)
        shape = list(small.shape[:2])
        return {"kind": "colours", "shape": shape, "full": list(array.shape[:2])}, small.tobytes()
    return {"kind": "text", "text": _called(array)}, b""


def _called(array: np.ndarray) -> str:
    return f"{array.dtype} array of shape {array.shape}"


def _line(array: np.ndarray) -> tuple[dict[str, Any], bytes]:
    points = envelope(array.astype(np.float32), POINTS)
    return {"kind": "line", "points": len(points), "full": len(array)}, points.tobytes()


def _image(array: np.ndarray) -> tuple[dict[str, Any], bytes]:
    small = thinned(array, PIXELS).astype(np.float32)
    finite = small[np.isfinite(small)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    scale = 254.0 / (high - low) if high > low else 0.0
    # 0 is what is no number, 1 to 255 are the levels.
    levels = np.where(np.isfinite(small), 1.0 + (small - low) * scale, 0.0).astype(np.uint8)
    entry = {"kind": "image", "shape": list(small.shape), "full": list(array.shape)}
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
