"""p4p's own server: posts images, tables and structures as it is told, a line of JSON each."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
from p4p import Type, Value
from p4p.nt import NTNDArray, NTScalar, NTTable
from p4p.server import Server, StaticProvider
from p4p.server.raw import SharedPV

from tests.servers.pva import pattern

PVS: dict[str, SharedPV] = {}
TYPES: dict[str, Any] = {}
PROVIDER = StaticProvider("peer")
_MEMBERS = {"u1": "ubyte", "u2": "ushort", "u4": "uint", "u8": "ulong", "i1": "byte", "i2": "short"}
_SCALAR_TYPES = {"i1": 1, "i2": 2, "i4": 3, "i8": 4, "u1": 5, "u2": 6, "u4": 7, "u8": 8, "f8": 10}


def post(name: str, kind: Any, fields: Any) -> None:
    value = Value(TYPES.setdefault(name, kind), fields)  # a PV keeps the very type it has
    if name in PVS:
        PVS[name].post(value)
    else:
        PVS[name] = SharedPV(initial=value)
        PROVIDER.add(name, PVS[name])


def packed(codec: str, array: np.ndarray) -> np.ndarray:
    """Return the bytes that areaDetector's NDPluginCodec would send."""
    import imagecodecs

    if codec == "lz4":
        return np.frombuffer(imagecodecs.lz4_encode(array.tobytes(), header=False), np.uint8)
    if codec == "blosc":
        made = imagecodecs.blosc_encode(array.tobytes(), typesize=array.itemsize)
        return np.frombuffer(made, np.uint8)
    if codec == "jpeg":
        return np.frombuffer(imagecodecs.jpeg_encode(array, level=100), np.uint8)
    import h5py
    import hdf5plugin

    # The stream of the bitshuffle library itself, behind the 12 bytes of its HDF5 filter.
    with h5py.File("x", "w", driver="core", backing_store=False) as file:
        flat = array.reshape(-1)
        options = dict(hdf5plugin.Bitshuffle(nelems=0, cname="lz4"))
        made = file.create_dataset("x", data=flat, chunks=flat.shape, **options)
        return np.frombuffer(made.id.read_direct_chunk((0,))[1][12:], np.uint8)


def image(
    name: str, shape: list[int], number: int, dtype: str = "u2", seed: int = 0,
    codec: str = "", mode: int | None = None, when: float = 1.5, say: bool = True,
) -> None:  # fmt: skip
    array = pattern(tuple(shape), dtype, seed)
    data = packed(codec, array) if codec in ("lz4", "blosc", "jpeg", "bslz4") else array.reshape(-1)
    member = "ubyteValue" if codec else f"{_MEMBERS[dtype]}Value"
    post(name, NTNDArray.buildType(), {
        "value": (member, data),
        "codec": {"name": codec, **({"parameters": ("i", _SCALAR_TYPES[dtype])} if say else {})},
        "compressedSize": data.nbytes,
        "uncompressedSize": array.nbytes,
        "uniqueId": number,
        "dimension": [{"size": size} for size in reversed(shape)],
        "timeStamp": {"secondsPastEpoch": int(when), "nanoseconds": int(when % 1 * 1e9)},
        "attribute": [] if mode is None else [{"name": "ColorMode", "value": ("i", mode)}],
    })  # fmt: skip


def table(name: str, columns: dict[str, list[Any]]) -> None:
    made = NTTable.buildType(columns=[
        (column, "as" if isinstance(values[0], str) else "ad") for column, values in columns.items()
    ])  # fmt: skip
    post(name, made, {"labels": list(columns), "value": columns})


def structure(name: str, a: float, b: str) -> None:
    inner = ("S", None, [("value", "d"), ("text", "s")])
    made = Type([("position", inner), ("motor", NTScalar.buildType("i"))], id="my:group")
    post(name, made, {"position": {"value": a, "text": b}, "motor": {"value": int(a)}})


def scalar(name: str, value: Any, code: str = "d", when: float = 1.5, units: str = "") -> None:
    stamp = {"secondsPastEpoch": int(when), "nanoseconds": int(when % 1 * 1e9)}
    more = {"display": {"units": units}} if units else {}
    post(name, NTScalar.buildType(code, display=True), {"value": value, "timeStamp": stamp, **more})


def burst(name: str, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        scalar(name, number, "l", when=number + 1.0)


def main() -> None:
    verbs = {one.__name__: one for one in (image, table, structure, scalar, burst)}
    with Server(providers=[PROVIDER]):
        print("ready", flush=True)
        for line in sys.stdin:
            words = json.loads(line)
            try:
                verbs[words.pop("verb")](**words)
            except Exception as error:  # noqa: BLE001 - the test is told of it
                print(f"{type(error).__name__}: {error}", flush=True)
                continue
            print("done", flush=True)


if __name__ == "__main__":
    main()
