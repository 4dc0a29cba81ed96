"""The Zarr sink: both formats, shards, URLs, frames by number, consolidated metadata."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

from camagick.errors import BadOption, CamagickError
from camagick.sink.zarr import Processor
from camagick.tools.zchunks import AsBytes
from camagick.tools.zmeta import Meta
from tests.actors.sink.killing import check, check_end, stories
from tests.actors.sink.storing import sink, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VALUES = [np.arange(6.0).reshape(2, 3), np.arange(3, dtype=">i2"), True, 1 + 2j, "grün", ["a", "b"]]


@pytest.mark.parametrize("compression", ["none", "zstd", "blosc", "gzip"])
def test_format_2(tmp_path: Path, compression: str) -> None:
    for _ in range(2):
        with sink("zarr", f"{tmp_path}/z#g/", format=2, compression=compression) as node:
            write(node, {"units": "V"}, **{f"v{n}": value for n, value in enumerate(VALUES)})
            node.commit()
    group = zarr.open_group(tmp_path / "z", mode="r", zarr_format=2)
    for n, value in enumerate(VALUES):
        array: Any = group[f"g/v{n}"]
        assert array.metadata.zarr_format == 2
        assert np.asarray(array[...]).tolist() == np.stack([np.asarray(value)] * 2).tolist()
        assert array.attrs["units"] == "V"
        assert array.attrs["_ARRAY_DIMENSIONS"][0] == "frame"


@pytest.mark.parametrize(
    ("options", "shards", "chunks"),
    [
        ({"shard": 5}, (5, 20), (5, 20)),
        ({"shard": 5, "chunks": 2}, (6, 20), (2, 20)),
        ({"shard": 4, "chunks": "1,16"}, (4, 32), (1, 16)),
    ],
)
def test_shards(tmp_path: Path, options: Any, shards: Any, chunks: Any) -> None:
    for half in (range(5), range(5, 11)):
        with sink("zarr", tmp_path / "z", **options) as node:
            for n in half:
                write(node, x=np.full(20, n))
                node.commit()
    array: Any = zarr.open_array(tmp_path / "z", path="x", mode="r")
    assert (array.shards, array.chunks) == (shards, chunks)
    assert array[:, 0].tolist() == array[:, -1].tolist() == list(range(11))
    assert len(os.listdir(tmp_path / "z/x/c")) == -(-11 // shards[0])


@pytest.mark.parametrize("version", [2, 3])
def test_consolidated_metadata_is_never_old(tmp_path: Path, version: int) -> None:
    """It is there at the end, and not while arrays grow: a reader would believe it."""
    for turn in range(2):
        with sink("zarr", tmp_path / "z", format=version, flush=0) as node:
            for n in range(2):
                write(node, x=float(n))
                group = zarr.open_group(tmp_path / "z", mode="r")
                assert group.metadata.consolidated_metadata is None
                assert group["x"].shape == (2 * turn + n + 1,)  # type: ignore[union-attr]
        group = zarr.open_group(tmp_path / "z", mode="r")
        assert group.metadata.consolidated_metadata is not None
        assert group["x"].shape == (2 * turn + 2,)  # type: ignore[union-attr]


@pytest.mark.parametrize("options", [{"compression": "none"}, {}, {"format": 2}, {"shard": 2}])
def test_frames_by_number(tmp_path: Path, options: Any) -> None:
    def frames(mode: str, *numbers: int, length: int = 3) -> list[int]:
        with sink("zarr", tmp_path / "z", index="n", mode=mode, chunks=2, **options) as node:
            for n in numbers:
                texts = write(node, None, {"n": n}, x=np.full(length, n + 1))
                assert texts == [f"{tmp_path}/z#x[{n}]"]
        array: Any = zarr.open_array(tmp_path / "z", path="x", mode="r")
        return [int(row[0]) for row in array[...]]

    assert frames("a+", 0, 5) == [1, 0, 0, 0, 0, 6]
    assert frames("o", 1, 5, 3) == [1, 2, 0, 4, 0, 6]
    with pytest.raises(
        CamagickError, match=r"zarr: Overwrite not permitted: index=1 .* array=/x tag"
    ):
        frames("a", 1)
    with pytest.raises(CamagickError, match="zarr: Sparse writing not permitted: index=7"):
        frames("o", 7)
    assert frames("x+", 0, 2) == [1, 0, 3]
    with pytest.raises(CamagickError, match="mode=O replaces it"):
        frames("o", 1, length=4)
    assert frames("O", 0, length=4) == [1]


def test_old_frames_are_gone_before_new_ones_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in between, `mode=x` leaves no mixture."""
    done: list[Any] = []

    def note(cls: type, name: str, what: Callable[..., Any]) -> None:
        real = getattr(cls, name)

        def call(self: Any, *words: Any) -> None:
            done.append(what(*words))
            real(self, *words)

        monkeypatch.setattr(cls, name, call)

    options: Any = {"chunks": 1, "compression": "none", "index": "n"}
    with sink("zarr", tmp_path / "z", **options) as node:
        for n in range(3):
            write(node, None, {"n": n}, x=1.0)
    note(Meta, "write", lambda length, _: length)
    note(AsBytes, "put", lambda *_: "a chunk")
    with sink("zarr", tmp_path / "z", mode="x", **options) as node:
        write(node, None, {"n": 0}, x=2.0)
    assert done == [0, "a chunk", 1]


def test_a_gap_does_not_show_what_a_killed_writer_has_left(tmp_path: Path) -> None:
    for version in (2, 3):
        path = tmp_path / str(version)
        options: Any = {"index": "n", "chunks": 1, "format": version}
        with sink("zarr", path, **options) as node:
            write(node, None, {"n": 0}, x=1.0)
            [file] = node._store._files.values()
            write(node, None, {"n": 1}, x=2.0)
            write(node, None, {"n": 2}, x=2.0)  # its chunk is written, and nothing tells of it
            file._lock.release()  # type: ignore[attr-defined]
            node._store._files.clear()
        with sink("zarr", path, **options) as node:
            write(node, None, {"n": 3}, x=3.0)
        array: Any = zarr.open_array(path, path="x", mode="r")
        assert array[...].tolist() == [1, 0, 0, 3]


def test_what_is_of_another_format(tmp_path: Path) -> None:
    for there, wanted in ((2, 3), (3, 2)):
        path = tmp_path / f"{there}.zarr"
        zarr.open_group(path, mode="w", zarr_format=there)  # type: ignore[arg-type]
        with (
            sink("zarr", path, format=wanted) as node,
            pytest.raises(CamagickError, match=rf"it is a store of Zarr's format {there}: write"),
        ):
            write(node, x=1.0)


@pytest.mark.skipif(importlib.util.find_spec("fsspec") is None, reason="fsspec is not installed")
@pytest.mark.parametrize("version", [2, 3])
def test_stores_that_fsspec_knows(tmp_path: Path, version: int) -> None:
    url = f"memory://{tmp_path}/z.zarr"
    for turn in range(2):
        with sink("zarr", f"{url}#g/{{tag}}", "run", format=version, stamp=1) as node:
            for n in range(2):
                node.seq = 2 * turn + n
                texts = write(node, {"timestamp": 5.0}, x=np.full(3, node.seq), t="text")
    assert texts == [f"{url}#g/x[3]", f"{url}#g/t[3]"]
    needs_more = [] if importlib.util.find_spec("s3fs") else ["s3://b/z"]
    for url_of_none in ("nosuch://b/z", *needs_more):
        with (
            sink("zarr", url_of_none) as node,
            pytest.raises(CamagickError, match=r"^zarr: \w+://b/z: [^\n]+(nosuch|s3fs)[^\n]*$"),
        ):
            write(node, x=1.0)
    group = zarr.open_group(zarr.storage.FsspecStore.from_url(url), mode="r")
    arrays = {name: np.asarray(array[...]) for name, array in group["g"].arrays()}  # type: ignore[union-attr]
    assert arrays["x"][:, 0].tolist() == [0, 1, 2, 3]
    assert arrays["x_timestamp"].tolist() == [5.0] * 4
    assert arrays["t"].tolist() == ["text"] * 4


def test_file_urls_and_fsspec_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with sink("zarr", f"file://{tmp_path}/z.zarr") as node:
        write(node, x=1.0)
    assert json.loads((tmp_path / "z.zarr/zarr.json").read_text())["node_type"] == "group"
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with (
        pytest.raises(CamagickError, match=r"^zarr s3://b/z needs fsspec, .*\[zarr\]"),
        sink("zarr", "s3://b/z"),
    ):
        pass


@pytest.mark.parametrize(
    "options",
    [{"format": 4}, {"shard": -1}, {"shard": "x"}, {"shard": 2, "format": 2}, {"mode": "w"}],
)
def test_bad_options(options: Any) -> None:
    with pytest.raises(BadOption, match=r"^zarr: [^\n]+$"):
        Processor("z", **options)


@pytest.mark.parametrize(
    "step", [29, pytest.param(1, marks=pytest.mark.long)], ids=["some", "every"]
)
def test_killed_in_changes_of_the_disk(tmp_path: Path, step: int) -> None:
    """In format 2, two files say what there is."""
    job = {"sink": "zarr", "path": "o.zarr", "tags": ["number", "text"], "count": 5,
           "options": {"flush": 1000, "format": 2, "stamp": 1, "chunks": 2}}  # fmt: skip
    told = stories(tmp_path, "every", job, step=step)
    assert len(told) > 1
    for story in told:
        check(story, job)
        check_end(story, job)
