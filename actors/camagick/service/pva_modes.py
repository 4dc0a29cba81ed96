"""How a PV Access source chooses what starts an iteration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from camagick.service.ca_queues import Clustered, Every
from camagick.service.ca_trigger import Continuous, Guided, Hasty, Thorough, Trigger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from camagick.service.ca_queues import Bounds
    from camagick.service.ca_trigger import Guide

_DWELL = 0.1


def chosen(
    mode: str,
    pvs: Sequence[str],
    *,
    guide: Guide | None,
    dwell: float | None,
    queue: Bounds,
    alone: bool,
) -> tuple[Trigger, float]:
    """Return what decides when to go, and the seconds to wait then.

    Parameters
    ----------
    mode
        Its name, '' for the default.
    pvs
        The PVs that are handed on.
    guide
        Condition of mode guided.
    dwell
        Seconds; None for the default.
    queue
        How much may wait.
    alone
        Whether every update of one PV shall be handed on.
    """
    pvs = list(dict.fromkeys(pvs))
    wait = dwell if dwell is not None else (_DWELL if len(pvs) > 1 else 0.0)
    pace = _DWELL if dwell is None else dwell
    mode = mode or ("guided" if guide else "every" if len(pvs) == 1 and alone else "sloppy")
    if mode == "continuous":
        return Continuous(pvs), pace
    if guide is not None:
        return Guided(pvs, guide), wait
    if mode == "every":
        return Every(pvs, queue), 0.0
    if mode == "clustered":
        return Clustered(pvs, pace, queue), 0.0
    return {"sloppy": Trigger, "hasty": Hasty, "thorough": Thorough}[mode](pvs), wait
