"""Devices for the tests of ophyd: they measure, they are staged, they fail, they never answer."""

from __future__ import annotations

import threading
from typing import Any

import ophyd
from ophyd import Component

#: What happened to the devices of this process, in order.
HAPPENED: list[str] = []


class MyDevice(ophyd.Device):  # type: ignore[misc, unused-ignore]
    """A detector whose measurement takes a moment, in a thread."""

    sum = Component(ophyd.Signal, value=0, kind="hinted")
    raw = Component(ophyd.Signal, value=[1.5, 2.5], kind="normal")
    gain = Component(ophyd.Signal, value="high", kind="config")
    hidden = Component(ophyd.Signal, value=7, kind="omitted")

    def trigger(self) -> Any:
        HAPPENED.append("trigger")
        status = ophyd.status.DeviceStatus(self)

        def measure() -> None:
            self.sum.put(self.sum.get() + 1)
            status.set_finished()

        threading.Timer(0.01, measure).start()
        return status

    def stage(self) -> Any:
        HAPPENED.append("stage")
        return super().stage()

    def unstage(self) -> Any:
        HAPPENED.append("unstage")
        return super().unstage()

    def describe(self) -> Any:
        described = super().describe()
        described[f"{self.name}_sum"].update(
            units="counts", precision=1, lower_ctrl_limit=0.0, upper_ctrl_limit=9.0
        )
        return described


class Failing(MyDevice):
    """A detector whose measurement fails."""

    def trigger(self) -> Any:
        status = ophyd.status.DeviceStatus(self)
        status.set_exception(RuntimeError("no photons"))
        return status


class Hanging(MyDevice):
    """A detector whose measurement never ends."""

    def trigger(self) -> Any:
        return ophyd.status.DeviceStatus(self)


class Blocking(MyDevice):
    """A detector that does not even come back from the call, as bad drivers do."""

    def trigger(self) -> Any:
        threading.Event().wait(600)


class Odd(ophyd.Device):  # type: ignore[misc, unused-ignore]
    """Holds what is no data, and two names that make one tag."""

    strange = Component(ophyd.Signal, value={"a": 1}, kind="normal")
    fine = Component(ophyd.Signal, value=1.0, kind="normal")

    def describe(self) -> Any:
        raise ValueError("failed to describe")


class Twice(ophyd.Device):  # type: ignore[misc, unused-ignore]
    """Two signals whose names make one tag."""

    one = Component(ophyd.Signal, value=1.0, kind="normal")
    two = Component(ophyd.Signal, value=2.0, kind="normal")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.one.name, self.two.name = "a-b", "a b"


def make_device(name: str) -> MyDevice:
    """Return a device, as a function of a beamline's own may."""
    return MyDevice(name=name)
