"""NeXus: programs that follow `default` find what they are to plot."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import Any

import h5py
import numpy as np
import pytest

from tests.actors.sink.storing import sink, write


def plotted(path: Any) -> Any:
    """Follow the attributes `default` as silx, h5web and NeXpy do; return the group there."""
    with h5py.File(path) as file:
        group = file
        assert group.attrs["NX_class"] == "NXroot"
        while "default" in group.attrs:
            group = group[group.attrs["default"]]
        assert group.attrs["NX_class"] == "NXdata"
        assert group.parent.attrs["NX_class"] == "NXentry"
        signal = group[group.attrs["signal"]]
        axes = list(group.attrs["axes"])
        assert len(axes) == signal.ndim
        for number, axis in enumerate(axes):
            if axis != ".":
                assert group[axis].shape == (signal.shape[number],)
                assert group.attrs[f"{axis}_indices"] == number
        return group.name, signal.shape, axes, dict(signal.attrs)


@pytest.mark.parametrize(
    ("path", "entry"), [("#{tag}", "entry"), ("#scan-{scan:03d}/{tag}", "scan-001"), ("#a/b/", "a")]
)
@pytest.mark.parametrize("roll", ["", "2"])
def test_the_first_data_set_is_plotted(tmp_path: Any, path: str, entry: str, roll: str) -> None:
    with sink("hdf5", f"{tmp_path}/x.h5{path}", nexus=1, roll=roll) as node:
        for scan in (1, 1, 2):
            write(
                node, {"timestamp": 5.0, "units": "V"}, {"scan": scan},
                text="no plot", image=np.ones((4, 5)), n=1.0,
            )  # fmt: skip
    for name in ["x.h5", *(["x-00001.h5"] if roll else [])]:
        group, shape, axes, about = plotted(tmp_path / name)
        short = "b_image" if entry == "a" else "image"
        assert group == f"/{entry}/{short}_plot"
        in_first = 2 if "scan" in path or name != "x.h5" else 3
        assert shape == (in_first, 4, 5)
        assert axes == ["image_timestamp", ".", "."]
        assert about["interpretation"] == "image"
        assert about["long_name"] == "image [V]"
    with h5py.File(tmp_path / "x.h5") as file:
        assert f"{entry}/{short[:-5]}n_plot" in file
        assert "start_time" in file[entry]


@pytest.mark.skipif(find_spec("silx") is None, reason="silx is not installed")
@pytest.mark.parametrize("roll", ["", "2"])
def test_silx_agrees(tmp_path: Any, roll: str) -> None:
    """While it is written, and afterwards; also of the file that joins others."""
    nxdata: Any = importlib.import_module("silx.io.nxdata")

    def look(count: int) -> None:
        with h5py.File(tmp_path / "x.h5") as file:
            plot = nxdata.get_default(file, validate=True)
            assert plot.is_valid
            assert not plot.issues
            assert (plot.signal.shape, plot.interpretation) == ((count, 4, 5), "image")

    with sink("hdf5", tmp_path / "x.h5", nexus=1, roll=roll) as node:
        for count in (1, 2, 3):
            write(node, image=np.ones((4, 5)))
            node.commit()
            look(count)
    look(3)


def test_a_data_set_that_is_replaced(tmp_path: Any) -> None:
    for value in (np.zeros(3), np.zeros((2, 2))):
        with sink("hdf5", tmp_path / "x.h5", nexus=1, mode="O") as node:
            write(node, x=value)
    assert plotted(tmp_path / "x.h5")[1:3] == ((1, 2, 2), ["x_timestamp", ".", "."])
