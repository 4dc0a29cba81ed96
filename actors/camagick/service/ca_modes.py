"""Which trigger a mode of ``--from-epics`` means. Knows no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from camagick.service.ca_queues import Bounds, Clustered, Every
from camagick.service.ca_trigger import Continuous, Guide, Guided, Hasty, Thorough, Trigger

if TYPE_CHECKING:
    from collections.abc import Sequence

_DWELL = 0.1


def trigger_of(
    mode: str,
    pvs: Sequence[str],
    *,
    guide: Guide | None,
    dwell: float | None,
    bounds: Bounds,
    alone: bool,
) -> tuple[Trigger, float]:
    """Return what decides when an iteration starts, and the seconds to wait then.

    Parameters
    ----------
    mode
        As given by the user; '' for the default.
    pvs
        The PVs that are handed on, each once.
    guide
        The condition, where there is one.
    dwell
        As given by the user; None for the default.
    bounds
        How much may wait where every event counts.
    alone
        Whether it is the only source of its pipe.
    """
    default = "every" if len(pvs) == 1 and alone else "sloppy"
    mode = mode or ("guided" if guide is not None else default)
    width = _DWELL if dwell is None else dwell
    if mode == "every":
        return Every(pvs, bounds), 0.0
    if mode == "clustered":
        return Clustered(pvs, width, bounds), 0.0
    if mode == "continuous":
        return Continuous(pvs), width
    wait = width if dwell is not None or len(pvs) > 1 else 0.0
    if guide is not None:
        return Guided(pvs, guide), wait
    return {"sloppy": Trigger, "hasty": Hasty, "thorough": Thorough}[mode](pvs), wait
