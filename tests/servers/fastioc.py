"""A C IOC that makes values faster than the standard allows: counters at 1 kHz and 100 Hz."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.servers.ioc import SoftIoc, tools

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: Seconds between two iterations of a record, as its field SCAN wants them.
KHZ, HZ100 = ".001 second", ".01 second"

#: `count` counts at 1 kHz as soon as `go` is 1; it begins with 1.
COUNTER = f"""
record(bo, "$(P)go") {{ field(VAL, "0") field(PINI, "YES") }}
record(calc, "$(P)count") {{ field(INPA, "$(P)count NPP") field(CALC, "A+1")
                             field(SDIS, "$(P)go NPP") field(DISV, "0") field(SCAN, "{KHZ}") }}
"""
_RAMP = 10_000


def images(size: int) -> str:
    """Return the database of a waveform that changes at 100 Hz, as soon as `go` is 1.

    `image` are `size` doubles. The first is the number of the image, if `ramp` was filled with
    0, 1, 2, ...: 10 000 doubles more. One second in which nothing is lost is 100 images.
    """
    return f"""
record(bo, "$(P)go") {{ field(VAL, "0") field(PINI, "YES") }}
record(waveform, "$(P)ramp") {{ field(FTVL, "DOUBLE") field(NELM, "{size + _RAMP}") }}
record(calcout, "$(P)frame") {{ field(INPA, "$(P)frame NPP") field(CALC, "A+1")
    field(SDIS, "$(P)go NPP") field(DISV, "0") field(SCAN, "{HZ100}")
    field(OUT, "$(P)image.INDX PP") }}
record(subArray, "$(P)image") {{ field(FTVL, "DOUBLE") field(MALM, "{size + _RAMP}")
    field(NELM, "{size}") field(INP, "$(P)ramp NPP") }}
"""


class FastIoc(SoftIoc):
    """A C IOC whose records know two more scan periods."""

    def __init__(self, env: Mapping[str, str], db: str, folder: Path) -> None:
        super().__init__(env, db, folder)
        known = (tools().parents[1] / "dbd/softIoc.dbd").read_text()
        last = next(line for line in known.splitlines() if '".1 second"' in line)
        more = f'{last}\nchoice(menuScan_01, "{HZ100}")\nchoice(menuScan_001, "{KHZ}")'
        dbd = folder / "fast.dbd"
        dbd.write_text(known.replace(last, more))
        self.options = ["-D", str(dbd)]
