"""Pipes of the README against the reference: rows a second, one process an actor against one."""

from __future__ import annotations

import functools

from benchmarks import peers
from benchmarks.measure import OURS, Budget, Contender, Figure, Goal, Work
from benchmarks.processes import CASPY, environment, peer_environment, rate_of

REFERENCE = "reference"

README = (
    "--from-scratch random jedda=2048 rate=1e9 --reshape 64 32 --slice 16:48 8:24"
    " --npfun sum --to-summary"
)
FANOUT = (
    "--from-scratch random jedda=2048 rate=1e9 { [ --npfun sum --rename {}_s ]"
    " [ --npfun min --rename {}_m ] [ --npfun max --rename {}_M ] } --to-summary mode=table"
)
IMAGE = (
    "--from-scratch random jedda=1048576 rate=1e9 --reshape 1024 1024"
    " --slice 16:1000 8:1000 --npfun std --to-summary"
)
# i0 takes the same time for all these numbers, and a hundred times that of a hop.
STAGES = "--from-scratch ones x=131072 rate=1e9 --npfun i0 --npfun i0 --to-summary"
SCALAR = "--from-scratch random a=1 rate=1e9 --npfun sum --to-summary"


def works(_: Budget) -> list[Work]:
    """Return the pipes, and how much faster than the reference each is to be."""
    return [
        _against_reference("readme", "README pipe: random 2048, reshape, slice, sum", README, 3.0),
        _against_reference("fanout", "fanout sum / min / max, renamed, as a table", FANOUT, 1.5),
        _against_reference("image", "1024 x 1024: random, reshape, slice, std", IMAGE, 1.3),
        _against_reference("stages", "two stages of equal work", STAGES, 1.8),
        _against_reference("scalar", "bare scalars: random 1, sum", SCALAR, 1.2),
    ]


def _against_reference(key: str, title: str, pipe: str, ratio: float) -> Work:
    return Work(
        key, title, "rows/s",
        (
            Contender(OURS, functools.partial(ours, pipe.split())),
            Contender(REFERENCE, functools.partial(reference, pipe.split())),
        ),
        (Goal(ratio, REFERENCE),),
    )  # fmt: skip


def ours(words: list[str], budget: Budget) -> Figure:
    """Return the rows a second of this tree's caspy."""
    return rate_of([*CASPY, *words], environment(), budget)


def reference(words: list[str], budget: Budget) -> Figure:
    """Return the rows a second of the reference."""
    return rate_of(reference_command(words), peer_environment(), budget)


def reference_command(words: list[str]) -> list[str]:
    """Return a command line of the reference; installs it where it is not there."""
    return [str(peers.folder(peers.REFERENCE) / "caspy"), *words]
