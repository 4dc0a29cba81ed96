"""A Tango device server for the tests: ``python tango_device.py INSTANCE ...``.

Every kind of attribute is there once. What is written is kept in memory. Each write of `setpoint`
or `voltage` is one line in the file that ``CASPY_TEST_WRITES`` names, so that a test sees what
arrived over all lives of the server.
"""

# mypy: disable-error-code="untyped-decorator, misc, no-any-return"
from __future__ import annotations

import enum
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from tango import AttrQuality, AttrWriteType, DevState, Except
from tango.server import Device, attribute, command, run

RW = AttrWriteType.READ_WRITE


class Gear(enum.IntEnum):
    """Labels of an enumerated attribute."""

    PARK = 0
    DRIVE = 1
    REVERSE = 2


class _Memory:
    """Reads and writes what a device keeps in `_values`."""


def _note(value: object) -> None:
    if "CASPY_TEST_WRITES" in os.environ:
        with Path(os.environ["CASPY_TEST_WRITES"]).open("a") as file:
            file.write(f"{value}\n")


def _accessors(name: str) -> None:
    def read(self: Any) -> object:
        return self._values[name]

    def write(self: Any, value: object) -> None:
        if name in ("setpoint", "voltage"):
            _note(value)
        self._values[name] = value

    setattr(_Memory, f"read_{name}", read)
    setattr(_Memory, f"write_{name}", write)


for _name in (
    "voltage", "output", "setpoint", "text", "flag", "gear", "short", "wave", "image", "texts"
):  # fmt: skip
    _accessors(_name)


class Keithley(_Memory, Device):
    """A source meter as in the document, and more."""

    voltage = attribute(
        dtype=float, access=RW, unit="V", format="%6.3f",
        min_value="-200", max_value="200", min_alarm="-150", max_alarm="150",
        min_warning="-100", max_warning="100",
    )  # fmt: skip
    output = attribute(dtype=int, access=RW)
    setpoint = attribute(dtype=float, access=RW)
    text = attribute(dtype=str, access=RW)
    flag = attribute(dtype=bool, access=RW)
    gear = attribute(dtype=Gear, access=RW)
    short = attribute(dtype="int16", access=RW)
    wave = attribute(dtype=(float,), max_dim_x=4096, access=RW)
    image = attribute(dtype=((np.int32,),), max_dim_x=64, max_dim_y=64, access=RW)
    texts = attribute(dtype=(str,), max_dim_x=16, access=RW)

    def init_device(self) -> None:
        super().init_device()
        self.set_state(DevState.ON)
        self._values: dict[str, Any] = {
            "voltage": 0.0, "output": 0, "setpoint": 0.0, "text": "hello", "flag": True,
            "gear": Gear.DRIVE, "short": -7, "wave": np.arange(8.0),
            "image": np.arange(6, dtype=np.int32).reshape(2, 3), "texts": ["a", "bc"],
        }  # fmt: skip
        self._count = 0
        self._quality = AttrQuality.ATTR_VALID
        self.set_change_event("pushed", True, False)
        self.set_data_ready_event("pushed", True)

    @attribute(dtype=float, unit="A")
    def current(self) -> float:
        return self._values["voltage"] / 1e6

    @attribute(dtype=int)
    def count(self) -> int:
        """Goes up by one with each read."""
        self._count += 1
        return self._count

    @attribute(dtype=int, polling_period=50, abs_change="1", archive_abs_change="1")
    def polled(self) -> int:
        return int(time.time() * 20) % 1_000_000

    @attribute(dtype=int)
    def pushed(self) -> int:
        return self._count

    @attribute(dtype=float)
    def uncertain(self) -> tuple[float, float, AttrQuality]:
        return 2.5, time.time(), self._quality

    @attribute(dtype=float)
    def broken(self) -> float:
        Except.throw_exception("Keithley_NoSensor", "no sensor is plugged in", "read_broken")
        raise AssertionError

    @command(dtype_in=int)
    def Quality(self, number: int) -> None:  # noqa: N802 - Tango's spelling
        self._quality = AttrQuality.values[number]

    @command(dtype_in=int)
    def Push(self, count: int) -> None:  # noqa: N802
        """Send `count` change events in a row."""
        for _ in range(count):
            self._count += 1
            self.push_change_event("pushed", self._count)

    @command
    def Ready(self) -> None:  # noqa: N802
        self._count += 1
        self.push_data_ready_event("pushed", self._count)

    @command
    def Reset(self) -> None:  # noqa: N802
        self._count = 0

    @command(dtype_in=float, dtype_out=float)
    def Twice(self, number: float) -> float:  # noqa: N802
        _note(number)
        return 2 * number

    @command(dtype_out=float)
    def Temperature(self) -> float:  # noqa: N802
        return 21.5

    @command(dtype_in=float)
    def Hang(self, seconds: float) -> None:  # noqa: N802
        time.sleep(seconds)


if __name__ == "__main__":
    run((Keithley,), args=["Keithley", *sys.argv[1:]])
