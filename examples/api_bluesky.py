#!/usr/bin/python3
# Live results of a scan as PVs: the sum over a region of each frame, and the motor's position.
# In another terminal: camonitor LIVE:img_roi LIVE:motor

from camagick.bluesky import Callback
from camagick.flow.chain import Processor as ChainFlow
from camagick.flow.fanout import Processor as FanoutFlow
from camagick.pipe.npfun import Processor as NpfunPipe
from camagick.pipe.only import Processor as OnlyPipe
from camagick.pipe.rename import Processor as RenamePipe
from camagick.pipe.slice import Processor as SlicePipe
from camagick.sink.ioc import Processor as IocSink

import numpy as np
from bluesky import RunEngine
from bluesky.plans import scan
from ophyd.sim import SynSignal, motor

import threading
import contextlib

flow = ChainFlow(
    FanoutFlow(
        ChainFlow(
            OnlyPipe("img"),
            SlicePipe("2:4", "1:4"),
            NpfunPipe("sum"),
            RenamePipe("{}_roi"),
        ),
        OnlyPipe("motor$"),
    ),
    IocSink(prefix="LIVE:"),
)

# A camera whose picture becomes brighter as the motor moves.
camera = SynSignal(func=lambda: np.full((8, 6), float(motor.position)), name="img")

with Callback(flow) as callback:
    RE = RunEngine({})
    RE.subscribe(callback)
    RE(scan([camera], motor, 0, 7, 8))
    print("LIVE:img_roi and LIVE:motor can be read until Ctrl-C", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()
