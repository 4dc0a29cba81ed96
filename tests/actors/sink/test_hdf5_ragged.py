"""Rows that differ in length, in HDF5."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
import pytest

from camagick.errors import CamagickError
from tests.actors.sink.storing import sink, write

ROWS = [np.arange(n, dtype=np.int32) for n in (0, 3, 1, 1, 5, 2)]


@pytest.mark.parametrize("options", [{}, {"swmr": 1, "chunks": "2"}, {"compression": "gzip"}])
def test_rows_come_back_as_they_are(tmp_path: Any, options: Any) -> None:
    for half in (ROWS[:3], ROWS[3:]):
        with sink("hdf5", tmp_path / "x.h5", ragged=1, **options) as node:
            for row in half:
                write(node, rows=row, image=np.zeros((2, 3)), number=1.5, text="grün")
                node.commit()
            [file] = node._store._files.values()
            tail = file._arrays["/rows"]._tail  # type: ignore[attr-defined]
            assert all(one is None for one in tail)  # a chunk of rows may be large
    with h5py.File(tmp_path / "x.h5") as file:
        found = file["rows"][...]
        assert file["image"].shape == (6, 2, 3)
        assert file["number"].shape == file["text"].shape == (6,)
    assert all(row.dtype == np.int32 for row in found)
    assert [row.tolist() for row in found] == [row.tolist() for row in ROWS]


def test_rows_by_number(tmp_path: Any) -> None:
    with sink("hdf5", tmp_path / "x.h5", ragged=1, index="n", mode="o+") as node:
        for n in (3, 1, 3):
            write(node, None, {"n": n}, x=ROWS[n])
    with h5py.File(tmp_path / "x.h5") as file:
        assert [row.tolist() for row in file["x"]] == [[], [0, 1, 2], [], [0]]


def test_another_length_is_refused_otherwise(tmp_path: Any) -> None:
    with sink("hdf5", tmp_path / "x.h5") as node:
        write(node, x=np.zeros(3))
        with pytest.raises(
            CamagickError, match=r"x\.h5: data set /x: it has .*\(3,\).*ragged=1 sto"
        ):
            write(node, x=np.zeros(4))


@pytest.mark.parametrize("value", [np.zeros(3, complex), np.array([True]), np.zeros(3), "text"])
def test_rows_that_do_not_fit(tmp_path: Any, value: Any) -> None:
    with sink("hdf5", tmp_path / "x.h5", ragged=1) as node:
        write(node, x=ROWS[1])
        with pytest.raises(
            CamagickError, match=r"data set /x: (ragged=1 has no|it has rows of any)"
        ):
            write(node, x=value)
