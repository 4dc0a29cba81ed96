"""What a browser is sent."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from camagick.data import Data
from camagick.service.webframes import PIXELS, POINTS, envelope, pack, thinned


def unpacked(message: bytes) -> tuple[dict[str, Any], bytes]:
    length = int.from_bytes(message[:4], "little")
    assert (4 + length) % 8 == 0
    return json.loads(message[4 : 4 + length]), message[4 + length :]


@pytest.mark.parametrize(
    ("value", "entry"),
    [
        (1.5, {"kind": "number", "value": 1.5}),
        (np.int32(3), {"kind": "number", "value": 3.0}),
        (float("nan"), {"kind": "number", "value": None}),
        ("text", {"kind": "text", "text": "text"}),
        (np.zeros((2, 2, 2)), {"kind": "text", "text": "float64 array of shape (2, 2, 2)"}),
        (np.array([]), {"kind": "text", "text": "float64 array of shape (0,)"}),
        (np.array(["a"]), {"kind": "text", "text": "<U1 array of shape (1,)"}),
        (np.full((2, 3), np.nan), {"kind": "image", "low": 0.0, "high": 0.0, "shape": [2, 3]}),
        (np.zeros((2, 3, 3), np.uint8), {"kind": "colours", "shape": [2, 3]}),
    ],
)
def test_what_each_value_becomes(value, entry):
    header, _ = unpacked(pack(Data({"x": value}), 7))
    assert header["seq"] == 7
    assert entry.items() <= header["tags"][0].items()


def test_what_is_known_comes_along():
    data = Data({"x": 1.0})
    data.describe("x", {"units": "mA", "severity": 2, "timestamp": 5.5, "other": object()})
    header, _ = unpacked(pack(data, 0))
    assert header["tags"][0] | {"units": "mA", "severity": 2, "timestamp": 5.5} == header["tags"][0]


def test_arrays_lie_where_the_header_says():
    line, image = np.arange(5.0), np.array([[0.0, np.nan], [5.0, 10.0]])
    header, payload = unpacked(pack(Data({"n": 1, "a": line, "b": image}), 0))
    _, a, b = header["tags"]
    assert a["at"] % 4 == 0
    assert np.array_equal(np.frombuffer(payload, np.float32, a["points"], a["at"]), line)
    assert np.frombuffer(payload, "<u2", 4, b["at"]).tolist() == [1, 0, 32768, 65535]


def test_peaks_survive():
    line = np.zeros(100_003, np.float32)
    line[77_777], line[100_002] = 5.0, 7.0
    shown = envelope(line, POINTS)
    assert len(shown) == POINTS
    assert {5.0, 7.0} <= set(shown)


def test_large_images_become_small():
    image = np.zeros((PIXELS * 3 + 1, 10))
    assert thinned(image, PIXELS).shape == (385, 10)
    assert len(pack(Data({"x": np.zeros((4096, 4096))}), 0)) < 2 * PIXELS * PIXELS + 1000
