"""What has killed its actor again and again, kept for somebody to look at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from camagick.data import Data
    from camagick_broker.wiring import Wiring


def keep(wiring: Wiring, seq: int, data: Data, context: Data) -> Path:
    """Write an iteration into ``BUS-dead-letters/ACTOR-SEQ.npz``, and return the file's name.

    Each tag is an array of the file; `about` is a JSON text with the actor, the iteration, the
    context, the attributes of the tags, and what could not be written as an array. It is read with
    ``numpy.load``; nothing in it is pickled.

    Raises
    ------
    OSError
        Where it cannot be written.
    """
    arrays: dict[str, Any] = {}
    others: dict[str, str] = {}
    for tag, value in data.items():
        array = _array(value)
        if array is None or tag == "about":
            others[tag] = repr(value)[:10_000]
        else:
            arrays[tag] = array
    about = {
        "actor": wiring.name,
        "iteration": seq,
        "run": wiring.run.hex(),
        "context": {tag: repr(value)[:1000] for tag, value in context.items()},
        "attributes": {tag: repr(data.attributes(tag)) for tag in data if data.attributes(tag)},
        "others": others,
    }
    folder = Path(f"{wiring.bus}-dead-letters")
    folder.mkdir(exist_ok=True)
    path = folder / f"{wiring.name}-{seq}.npz"
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, about=np.array(json.dumps(about)), **arrays)
    return path


def _array(value: Any) -> Any:
    try:
        array = np.asarray(value)
    except ValueError:
        return None
    return None if array.dtype.hasobject else array
