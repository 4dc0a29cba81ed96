"""A C IOC that makes values faster than the standard allows, and tells what it has thrown away."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from tests.servers.ioc import SoftIoc, caget, full, tools, until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

#: Seconds between two iterations of a record, as its field SCAN wants them.
KHZ, HZ100, HZ20 = ".001 second", ".01 second", ".05 second"

#: `count` counts at 1 kHz while `go` is 1.
COUNTER = f"""
record(bo, "$(P)go") {{ field(VAL, "$(GO=0)") field(PINI, "YES") }}
record(calc, "$(P)count") {{ field(INPA, "$(P)count NPP") field(INPB, "$(P)go NPP")
                             field(CALC, "A+B") field(SCAN, "{KHZ}") }}
"""
#: Images of `images` have different numbers for so long.
RAMP = 10_000


def images(size: int, scan: str) -> str:
    """Return the database of a waveform that changes at a rate while `go` is 1.

    `image` are `size` doubles, of which the first is the number of the image (`frame`), if `ramp`
    was filled with 0, 1, 2, ... before, 10 000 doubles more.
    """
    return f"""
record(bo, "$(P)go") {{ field(VAL, "0") field(PINI, "YES") }}
record(waveform, "$(P)ramp") {{ field(FTVL, "DOUBLE") field(NELM, "{size + RAMP}") }}
record(calcout, "$(P)frame") {{ field(INPA, "$(P)frame NPP") field(CALC, "A+1")
    field(SDIS, "$(P)go NPP") field(DISV, "0") field(SCAN, "{scan}")
    field(OUT, "$(P)image.INDX PP") }}  # codespell:ignore
record(subArray, "$(P)image") {{ field(FTVL, "DOUBLE") field(MALM, "{size + RAMP}")
    field(NELM, "{size}") field(INP, "$(P)ramp NPP") }}
"""


class FastIoc(SoftIoc):
    """A C IOC whose records know three more scan periods, with its shell.

    Parameters
    ----------
    env, db, folder
        As for `SoftIoc`.
    through
        A command to run it by, as ``ip netns exec NAME``.
    """

    def __init__(
        self, env: Mapping[str, str], db: str, folder: Path, through: Sequence[str] = ()
    ) -> None:
        super().__init__(env, db, folder)
        known = (tools().parents[1] / "dbd/softIoc.dbd").read_text()
        last = next(line for line in known.splitlines() if '".1 second"' in line)
        scans = {"menuScan_05": HZ20, "menuScan_01": HZ100, "menuScan_001": KHZ}
        more = "\n".join(f'choice({name}, "{text}")' for name, text in scans.items())
        dbd = folder / "fast.dbd"
        dbd.write_text(known.replace(last, f"{last}\n{more}"))
        self._log = folder / "softioc.log"
        words = ["-D", str(dbd), "-m", f"P={self.PREFIX}", "-d", str(self._db)]
        self.command = [*through, str(tools() / "softIoc"), *words]

    def start(self) -> None:
        """Start it, and wait until its shell answers."""
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command, env=full(self.env), stdin=subprocess.PIPE, stdout=log, stderr=log
            )
        self.ask("echo started", "started")

    def kill(self) -> None:
        process = self.process
        super().kill()
        if process is not None and process.stdin is not None:
            process.stdin.close()

    def ask(self, command: str, answer: str) -> str:
        """Type into its shell; return what it prints, up to a pattern."""
        assert self.process is not None
        assert self.process.stdin is not None
        at = self._log.stat().st_size
        self.process.stdin.write(f"{command}\n".encode())
        self.process.stdin.flush()
        return str(
            until(
                lambda: (found := re.search(rf"(?s).*{answer}", self._new(at))) and found[0],
                f"{answer!r} from the IOC",
            )
        )

    def _new(self, at: int) -> str:
        with self._log.open() as log:
            log.seek(at)
            return log.read()

    def thrown_away(self, name: str) -> int:
        """Return how many events of a scalar it has replaced by newer ones, for slow clients."""
        text = self.ask(f"dbel {self.PREFIX}{name} 3\necho all-said", "all-said\n")
        return sum(map(int, re.findall(r"discarded by replacement=(\d+)", text)))

    def settled(self, name: str) -> int:
        """Return the value of a counter, once it counts no more."""
        seen = [-1]

        def stands() -> bool:
            seen.append(int(float(caget(self.env, "-t", f"{self.PREFIX}{name}"))))
            return seen[-1] == seen[-2]

        until(stands, f"the end of {name}")
        return seen[-1]
