import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camagick.tools.frameindex import Refused, Slot, frame_number, parse_mode, place

MODES = ["a", "a+", "o", "o+", "O", "O+", "x", "x+"]
modes = st.sampled_from(MODES).map(parse_mode)


@pytest.mark.parametrize("text", ["", "w", "+a", "a++", "A", "ao", "+"])
def test_what_is_no_mode(text):
    with pytest.raises(ValueError, match="mode="):
        parse_mode(text)


@given(modes, st.integers(0, 100))
def test_appending_is_always_permitted(mode, length):
    assert place(mode, None, length) == place(mode, length, length) == Slot(length, length + 1)


@given(modes, st.integers(0, 100), st.integers(0, 100))
def test_a_frame_gets_its_number_or_none(mode, frame, length):
    if (frame > length and not mode.gaps) or (frame < length and mode.letter == "a"):
        with pytest.raises(Refused) as caught:
            place(mode, frame, length)
        assert (caught.value.index, caught.value.frames) == (frame, length)
        return
    slot = place(mode, frame, length)
    assert slot.frame == frame < slot.length
    assert slot.length >= length or slot.clear
    assert slot.clear == (mode.letter == "x" and frame < length)


@pytest.mark.parametrize("value", [5, np.uint8(5), np.array(5), np.array([5]), 5.0, np.float32(5)])
def test_numbers(value):
    assert frame_number(value) == 5


@pytest.mark.parametrize("value", [-1, 1.5, float("nan"), float("inf"), "1", None, [1, 2], 2**63])
def test_what_is_no_number(value):
    with pytest.raises(Refused):
        frame_number(value)
