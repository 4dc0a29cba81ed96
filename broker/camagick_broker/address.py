"""Where a bus lives: its name, its folder, the addresses in it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from camagick_broker.errors import AddressError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Longest path of a unix socket, in bytes (sun_path without its final zero).
MAX_PATH = 107
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_LONGEST_SOCKET = "/broker.ctl"
_PATIENCE_S = 0.2


def runtime_dir() -> Path:
    """Return the folder of all buses of this user, mode 0700; make it if need be.

    Raises
    ------
    AddressError
        Where it belongs to somebody else, or others may write to it.
    """
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base and Path(base).is_absolute() and os.access(base, os.W_OK):
        folder = Path(base) / "caspy"
    else:
        folder = Path(tempfile.gettempdir()) / f"caspy-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    state = folder.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o077:
        raise AddressError(
            f"{folder} must be a folder of yours with mode 0700: remove it, or set XDG_RUNTIME_DIR"
        )
    return folder


def check_name(name: str) -> str:
    """Return `name` if a bus can be called so.

    Raises
    ------
    AddressError
        Otherwise.
    """
    if not _NAME.fullmatch(name):
        raise AddressError(
            f"{name!r} cannot name a bus: up to 32 letters, digits, '.', '_' and '-'"
        )
    return name


@contextlib.contextmanager
def bus_folder(name: str) -> Iterator[Path]:
    """Make the folder of a bus, hold it, and remove it at the end.

    A folder that a killed run has left behind is taken over: its lock is free.

    Raises
    ------
    AddressError
        If a bus of that name is running, or its sockets' paths would be too long.
    """
    folder = runtime_dir() / check_name(name)
    if len(os.fsencode(f"{folder}{_LONGEST_SOCKET}")) > MAX_PATH:
        raise AddressError(f"the path {folder} is too long for sockets: set XDG_RUNTIME_DIR")
    lock = _locked(folder)
    try:
        for left in folder.iterdir():
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            elif left.name != "lock":
                left.unlink(missing_ok=True)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _locked(folder: Path) -> int:
    """Make a bus's folder and lock it; return the open lock.

    The lock lives as long as a process of the bus: whoever dies leaves a free one, not a wrong one.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        lock = _try_lock(folder)
        if lock is not None:
            return lock
        if time.monotonic() > deadline:
            raise AddressError(f"a bus called {folder.name} is running: choose another -bus")
        time.sleep(_PATIENCE_S / 10)  # it may be just ending, or being cleaned up


def _try_lock(folder: Path) -> int | None:
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except FileExistsError:
        raise AddressError(f"{folder} is in the way: remove it") from None
    lock = None
    try:
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its folder may have been removed between the two calls: then it locks nothing.
        if os.path.samestat(os.fstat(lock), (folder / "lock").stat()):
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    if lock is not None:
        os.close(lock)
    return None


def clean_up() -> None:
    """Remove the folders of runs that were killed."""
    for folder in runtime_dir().iterdir():
        lock = folder / "lock"
        with contextlib.suppress(OSError):
            number = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(number)


def is_held(folder: Path) -> bool:
    """Tell whether a bus is running in this folder: a process of it holds the lock."""
    try:
        number = os.open(folder / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(number)
    return False


def data_address(bus_dir: str, number: int) -> str:
    """Where actor `number` hands out its output."""
    return f"ipc://{bus_dir}/{number}.d"


def back_address(bus_dir: str, number: int) -> str:
    """Where actor `number` takes what its consumers have to say."""
    return f"ipc://{bus_dir}/{number}.a"


def loop_address(bus_dir: str, number: int) -> str:
    """Where head `number` takes what gates, last actors and other heads have to say."""
    return f"ipc://{bus_dir}/{number}.l"


def tap_address(bus_dir: str, number: int) -> str:
    """Where actor `number` lets others listen, while somebody does."""
    return f"ipc://{bus_dir}/{number}.t"


def broker_address(bus_dir: str) -> str:
    """Where the broker answers."""
    return f"ipc://{bus_dir}/broker.ctl"
