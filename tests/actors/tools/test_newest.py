"""The newest values, handed to another process: whole, and only what is fresh."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from camagick.tools.newest import Newest, Reader


@pytest.fixture
def pair():
    newest = Newest()
    yield newest, Reader(newest.handles)
    newest.close()


def test_what_is_lent_is_left_alone(pair):
    newest, reader = pair
    newest.put("x", np.full(1000, 1.0))
    seen = reader(newest.lend({}))["values"]["x"]
    for value in range(2, 50):  # the reader sleeps
        newest.put("x", np.full(1000, float(value)))
        newest.put("text", str(value))
    assert seen.tolist() == [1.0] * 1000
    assert not seen.flags.writeable
    found = reader(newest.lend({"more": 5}))
    assert found["values"]["x"].tolist() == [49.0] * 1000
    assert (found["values"]["text"], found["more"]) == ("49", 5)
    assert not newest.is_fresh
    newest.put("y", np.zeros(1))
    assert list(reader(newest.lend({}))["values"]) == ["y"]


def test_arrays_that_grow_and_tags_that_come_and_go(pair):
    newest, reader = pair
    for n in range(1, 200):
        newest.put(f"t{n % 7 if n < 100 else n}", np.full((n, n % 5 + 1), n, np.int32))
        newest.put("grows", np.full(n * n, n % 128, np.int8))
        found = reader(newest.lend({}))["values"]
        assert {tuple(np.unique(value)) for value in found.values()} <= {(n,), (n % 128,)}
    assert sum(slot.size for slot in newest._slots) < 4_000_000  # places of old tags are used again


@given(
    st.lists(
        hnp.arrays(
            st.one_of(
                hnp.integer_dtypes(), hnp.floating_dtypes(), hnp.complex_number_dtypes(),
                hnp.boolean_dtypes(),
            ),
            hnp.array_shapes(min_dims=0, max_dims=3, min_side=0),
        ),
        max_size=4,
    )
)  # fmt: skip
def test_every_array_arrives_as_it_was(arrays: list[np.ndarray[Any, Any]]) -> None:
    newest = Newest()
    reader = Reader(newest.handles)
    for _ in range(2):
        for n, array in enumerate(arrays):
            newest.put(str(n), array[..., ::-1] if array.ndim else array)
        found = reader(newest.lend({}))["values"]
        for n, array in enumerate(arrays):
            wanted = array[..., ::-1] if array.ndim else array
            assert found[str(n)].dtype == wanted.dtype
            assert found[str(n)].tobytes() == wanted.tobytes()
    newest.close()
