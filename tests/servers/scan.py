"""Scans of a real RunEngine with simulated hardware."""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np
import pytest

_LAYER = "OPHYD_CONTROL_LAYER"


def without_channel_access() -> None:
    """Import ophyd, if it is there, without its threads and sockets for EPICS."""
    # Not by patch.dict: it writes all variables anew, and processes lose their names by that.
    before = os.environ.get(_LAYER)
    os.environ[_LAYER] = "dummy"
    try:
        pytest.importorskip("ophyd")
    finally:
        del os.environ[_LAYER]
        if before is not None:
            os.environ[_LAYER] = before


@functools.cache
def engine() -> Any:
    """Return the RunEngine of this process."""
    from bluesky import RunEngine

    return RunEngine({}, context_managers=[])


def image_detector(motor: Any) -> Any:
    """Return a detector with an image whose brightness follows the motor."""
    from ophyd.sim import SynSignal

    return SynSignal(func=lambda: np.full((8, 6), float(motor.position)), name="img")


def scan(points: int, subscriber: Any, last: float = 1.0) -> str:
    """Do a scan of a motor from 0 to `last`, and return its uid."""
    from bluesky.plans import scan as plan
    from ophyd.sim import det, motor

    detectors = [det, image_detector(motor)]
    [uid] = engine()(plan(detectors, motor, 0, last, points), subscriber)
    return str(uid)


def slow_scan(points: int, subscriber: Any, seconds: float) -> None:
    """Do a scan that takes its time for each point."""
    from bluesky.plan_stubs import sleep, trigger_and_read
    from bluesky.preprocessors import run_decorator
    from ophyd.sim import motor

    @run_decorator()  # type: ignore[untyped-decorator, unused-ignore]
    def plan() -> Any:
        for _ in range(points):
            yield from sleep(seconds)
            yield from trigger_and_read([motor])

    engine()(plan(), subscriber)
