"""Scans of a real RunEngine with simulated hardware; also as a script that publishes them.

``python tests/servers/scan.py HOST:PORT dumps|json|pickle COUNT`` publishes scans through a proxy,
one for each line that it reads.
"""

from __future__ import annotations

import functools
import pickle
import sys
from typing import Any

import numpy as np


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


def main(address: str, way: str, points: str) -> None:
    from bluesky.callbacks.zmq import Publisher

    from camagick.service import bluesky_codec as codec

    serializers = {"dumps": codec.dumps, "json": codec.dumps_json, "pickle": pickle.dumps}
    publisher = Publisher(address, serializer=serializers[way])
    print("ready", flush=True)
    for _ in sys.stdin:
        print(scan(int(points), publisher), flush=True)
    publisher.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
