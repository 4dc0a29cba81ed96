"""The reference's HDF5 sink in a loop: `reference_store.py FILE SIDE`, in its own environment.

Its command line appends only with an integer index in the context, which none of its sources makes.
So the sink is called as its Python interface has it, without a source: in its favour.
"""

from __future__ import annotations

import asyncio
import sys

import numpy as np

from camagick.sink.hdf5 import Processor


async def main() -> None:
    """Store the same frame until killed; print a line each."""
    file, side = sys.argv[1], int(sys.argv[2])
    value = np.ones((side, side)) if side > 1 else np.ones(1)
    sink = Processor(file + "#{tag}", index="n", mode="a+")
    await sink.startup()
    number = 0
    while True:
        await sink(data={"x": value}, context={"n": number})
        number += 1
        sys.stdout.write(f"x: {number}\n")
        sys.stdout.flush()


asyncio.run(main())
