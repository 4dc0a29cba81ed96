"""A PVA server with one channel of frames: `pva_source.py CHANNEL SIDE CREDIT`, in pvapy's own
environment."""  # noqa: D205, D209 - it is one sentence

from __future__ import annotations

import sys

import numpy as np
import pvaccess
from credit import Credits
from pvapy.utility.adImageUtility import AdImageUtility


def main() -> None:
    """Publish frames, each written anew, as long as there is credit."""
    channel, side = sys.argv[1], int(sys.argv[2])
    credit = Credits(sys.argv[3], 8)
    frame = np.ones((side, side))
    published = AdImageUtility.generateNtNdArray2D(0, frame)
    server = pvaccess.PvaServer()
    server.addRecord(channel, published.copy(), None)
    number = 0
    while True:
        credit.take()
        number += 1
        frame.fill(1.0)
        AdImageUtility.replaceNtNdArrayImage2D(published, number, frame)
        server.updateUnchecked(channel, published)


if __name__ == "__main__":
    main()
