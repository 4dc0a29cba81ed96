"""What a PV is declared to be, what a client may write to it, and what is said about a value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from camagick.tools.ca_declared import declared, with_initial
from camagick.tools.ca_incoming import incoming
from camagick.tools.ca_metadata import lasting, momentary


@pytest.mark.parametrize(
    ("text", "form", "initial"),
    [
        ("7", ("LONG", 1), 7),
        ("3000000000", ("DOUBLE", 1), 3e9),
        ("nan", ("DOUBLE", 1), np.nan),
        ('"7"', ("STRING", 1), "7"),
        ("a:b", ("STRING", 1), "a:b"),
        ("'a|b'", ("STRING", 1), "a|b"),
        ("float", ("STRING", 1), "float"),
        ("x" * 40, ("TEXT", 256), "x" * 40),
        ("zeros:3", ("DOUBLE", 3), [0, 0, 0]),
        ("ones:1x2", ("DOUBLE", 2), [1, 1]),
        ("string:2", ("STRING", 2), ["", ""]),
        ("uint8:2", ("CHAR", 2), [0, 0]),
        ("uint32:2", ("DOUBLE", 2), [0, 0]),
        ("a | b", ("ENUM", 1), 0),
    ],
)
def test_initial_values(text: str, form: tuple[str, int], initial: Any) -> None:
    found = with_initial(text)
    assert tuple(found.form) == form
    np.testing.assert_array_equal(found.initial, initial)


@pytest.mark.parametrize("text", ["floaty", "float:", "float:axb", "", "1", "Float", "float:2:3"])
def test_what_is_no_type(text: str) -> None:
    assert declared(text) is None


@pytest.mark.parametrize(
    ("raw", "text", "value"),
    [
        ([b"0x10"], "int", 16),
        (np.array([3.99]), "int", 3),
        (np.array([7], ">u2"), "int", 7),
        ([b"1e3"], "int", 1000),
        ([b"1", b"2.5"], "float:3", [1, 2.5]),
        (np.array([1e300]), "float32", np.inf),
        (np.frombuffer(b"long\0junk", "u1"), "text", "long"),
        (np.frombuffer(b"short", "u1"), "string", "short"),
        (np.array([1.5]), "string", "1.5"),
        ([b"on"], "off|on", 1),
        ([b"1"], "off|on", 1),
        (np.zeros(0), "float:3", []),
    ],
)
def test_what_a_client_may_write(raw: Any, text: str, value: Any) -> None:
    one = declared(text)
    assert one is not None
    found = incoming(raw, one.form, one.labels, one.dtype, one.whole)
    np.testing.assert_array_equal(found, value)


@pytest.mark.parametrize(
    ("raw", "text", "reason"),
    [
        (np.array([np.nan]), "int", "NaN"),
        (np.array([2.0**31]), "int", "outside"),
        ([b"9" * 30], "int", "outside"),
        (np.array([-1]), "uint16:1", "outside"),
        (np.array([256]), "uint8:1", "outside"),
        ([b"many"], "float", "no number"),
        (np.zeros(4), "float:3", "more than the 3"),
        (np.zeros(0), "float", "empty"),
        (np.zeros(5), "float:2x3", "the image has 6"),
        (np.array([0.5]), "off|on", "none of"),
        ([b"open"], "off|on", "no number"),
        (np.array([0, 1]), "off|on", "2 values"),
        ([b"a", b"b"], "string", "2 texts"),
        (np.full(300, 65, "u1"), "text", "longer than"),
    ],
)
def test_what_a_client_may_not_write(raw: Any, text: str, reason: str) -> None:
    one = declared(text)
    assert one is not None
    with pytest.raises(ValueError, match=reason):
        incoming(raw, one.form, one.labels, one.dtype, one.whole)


def test_units_are_cut_between_characters_and_go_out_as_they_came() -> None:
    for units, raw in (("mm", b"mm"), ("°C", "°C".encode()), ("µµµµµ", "µµµ".encode())):
        assert lasting({"units": units}, "DOUBLE")["units"] == raw


def test_what_is_not_understood_is_left_out() -> None:
    odd = {
        "units": 5, "precision": "3", "lower_disp_limit": np.nan, "upper_disp_limit": "high",
        "upper_ctrl_limit": 1e300, "timestamp": -5, "severity": 9, "status": "HIGH",
    }  # fmt: skip
    assert lasting(odd, "LONG") == {"upper_ctrl_limit": 2**31 - 1}
    assert momentary(odd)["severity"] == momentary(odd)["status"] == 0
    assert momentary(odd)["timestamp"] > 1e9
    assert momentary({"severity": 2})["status"] == 14
