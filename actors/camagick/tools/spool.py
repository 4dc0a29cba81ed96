"""Frames on the disk that wait to be sent: what is in it survives a kill, and goes out in order."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from camagick.tools.filelock import FolderLock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camagick.tools.record import Stamp

#: Bytes that are sent in one go, at least one frame.
BATCH = 2**23
_CARD = "array.json"
_STATE = "state.json"


def spool_folder(given: str) -> str:
    """Return where spools are kept: as given, or with the user's other state of programs."""
    if given:
        return os.path.expanduser(given)
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(home, "caspy", "spool")


class Queue:
    """The frames of one array that wait.

    Parameters
    ----------
    folder
        Where they are.
    name
        Path of the array.

    Attributes
    ----------
    name
        The same.
    made, sent
        How many frames were put in, and how many are out again.
    base
        Number of the first one in the array; None before anybody has looked.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        card = _load(folder / _CARD)
        self.name = str(card.get("name", name))
        self.attributes: dict[str, Any] = dict(card.get("attributes", {}))
        self.base: int | None = card.get("base")
        numbers = sorted(int(path.stem) for path in folder.glob("*.npy"))
        self.sent = numbers[0] if numbers else int(card.get("sent", 0))
        self.made = numbers[-1] + 1 if numbers else self.sent

    def put(self, frame: np.ndarray[Any, Any], attributes: Mapping[str, Any]) -> int:
        """Add a frame, and return its number here."""
        if not self.made:
            self.attributes = dict(attributes)
            self._note()
        number = self.made
        partial = self._folder / "partial"
        with partial.open("wb") as file:
            np.save(file, frame, allow_pickle=False)
        partial.rename(self._path(number))
        self.made += 1
        return number

    def cut(self, made: int) -> None:
        """Take back what was put in behind the first `made`: it comes again."""
        while self.made > max(made, self.sent):
            self.made -= 1
            self._path(self.made).unlink()

    def next(self, limit: int) -> np.ndarray[Any, Any] | None:
        """Return the next frames to send, as one array, None where there are none.

        Parameters
        ----------
        limit
            Only frames below this number.
        """
        frames: list[np.ndarray[Any, Any]] = []
        while self.sent + len(frames) < limit:
            frame = np.load(self._path(self.sent + len(frames)), allow_pickle=False)
            if frames and (frame.shape, frame.dtype) != (frames[0].shape, frames[0].dtype):
                break
            frames.append(frame)
            if sum(one.nbytes for one in frames) >= BATCH or len(frames) >= 4096:
                break
        return np.stack(frames) if frames else None

    def settle(self, base: int) -> None:
        """Note which number the first frame has in the array."""
        self.base = base
        self._note()

    def done(self, count: int) -> None:
        """Forget frames that are where they belong."""
        for number in range(self.sent, self.sent + count):
            self._path(number).unlink()
            self.sent = number + 1
        self._note()

    def remove(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self._folder)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:012d}.npy"

    def _note(self) -> None:
        card = {
            "name": self.name, "attributes": self.attributes, "base": self.base, "sent": self.sent,
        }  # fmt: skip
        _replace(self._folder / _CARD, card)


class Spool:
    """All frames that wait for one destination.

    Parameters
    ----------
    folder
        Where spools are kept.
    destination
        What tells it apart from others.

    Attributes
    ----------
    path
        Its own folder.
    queues
        By the names of arrays.

    Raises
    ------
    BlockingIOError
        When another program sends to the same destination.
    OSError
        When it cannot be written.
    """

    def __init__(self, folder: str, destination: str) -> None:
        name = hashlib.sha1(destination.encode(), usedforsecurity=False).hexdigest()[:16]
        self.path = Path(folder) / name
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = FolderLock(str(self.path), 5.0)
        self.queues: dict[str, Queue] = {}
        for card in sorted(self.path.glob(f"*/{_CARD}")):
            queue = Queue(card.parent, "")
            self.queues[queue.name] = queue
        self._state = _load(self.path / _STATE)
        self.limits = {name: queue.made for name, queue in self.queues.items()}

    def take_over(self, run: str, actor: int) -> int:
        """Return the last iteration of a sink that is safe here, -1 for none.

        What it put in behind that is taken back, since it comes again.
        """
        state = self._state
        if not run or (state.get("run"), state.get("actor")) != (run, actor):
            return -1
        for name, queue in self.queues.items():
            queue.cut(int(state["made"].get(name, 0)))
        self.limits = {name: queue.made for name, queue in self.queues.items()}
        return int(state["seq"])

    def queue(self, name: str) -> Queue:
        """Return the queue of an array."""
        if name not in self.queues:
            place = hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()[:16]
            self.queues[name] = Queue(self.path / place, name)
        return self.queues[name]

    def commit(self, stamp: Stamp | None) -> None:
        """Make what was put in safe, and free to be sent."""
        made = {name: queue.made for name, queue in self.queues.items()}
        if stamp is not None:
            state = {"run": stamp.run, "actor": stamp.actor, "seq": stamp.seq, "made": made}
            _replace(self.path / _STATE, state)
        self.limits = made

    @property
    def waiting(self) -> int:
        """How many frames wait."""
        return sum(queue.made - queue.sent for queue in list(self.queues.values()))

    def close(self) -> None:
        """Let others send; a spool with nothing in it is removed."""
        if not self.waiting:
            shutil.rmtree(self.path, ignore_errors=True)
        self._lock.release()


def _load(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _replace(path: Path, content: Any) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content))
    partial.rename(path)
