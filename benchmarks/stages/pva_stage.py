"""What a pvapy-hpc-consumer of the chain does, in pvapy's own environment."""

from __future__ import annotations

from typing import Any

import numpy as np
from credit import Receipts
from pvapy.hpc.userDataProcessor import UserDataProcessor
from pvapy.utility.adImageUtility import AdImageUtility


class Same(UserDataProcessor):
    """Hands a frame on."""

    def process(self, pvObject: Any) -> Any:  # noqa: N803 - pvapy's name
        self.updateOutputChannel(pvObject)
        return pvObject


class New(UserDataProcessor):
    """Makes a new frame of each."""

    def process(self, pvObject: Any) -> Any:  # noqa: N803 - pvapy's name
        number, image, *_ = AdImageUtility.reshapeNtNdArray(pvObject)
        made = AdImageUtility.generateNtNdArray2D(number, np.negative(image))
        self.updateOutputChannel(made)
        return made


class Last(UserDataProcessor):
    """Counts frames; `rows` and `credit` of the arguments are named pipes."""

    def __init__(self, configDict: Any) -> None:  # noqa: N803 - pvapy's name
        super().__init__(configDict)
        self._receipts = Receipts(configDict["rows"], configDict["credit"])

    def process(self, pvObject: Any) -> Any:  # noqa: N803 - pvapy's name
        sizes = tuple(dimension["size"] for dimension in pvObject["dimension"])
        self._receipts.give(sizes)
        return pvObject
