"""Where a bus lives: its name, its folder, the addresses in it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from camagick_broker.errors import AddressError

#: Longest path of a unix socket, in bytes (sun_path without its final zero).
MAX_PATH = 107
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_LONGEST_SOCKET = "/broker.ctl"


def runtime_dir() -> Path:
    """Return the folder of all buses of this user, mode 0700; make it if need be.

    Raises
    ------
    AddressError
        Where it belongs to somebody else, or others may write to it.
    """
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base and os.access(base, os.W_OK):
        folder = Path(base) / "caspy"
    else:
        folder = Path(tempfile.gettempdir()) / f"caspy-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
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
    folder.mkdir(mode=0o700, exist_ok=True)
    # The lock lives as long as a process of the bus: whoever dies leaves a free one, not a wrong one.
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise AddressError(f"a bus called {name} is running: choose another -bus") from None
    try:
        for left in folder.iterdir():
            if left.name != "lock":
                left.unlink(missing_ok=True)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


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


def data_address(bus_dir: str, number: int) -> str:
    """Where actor `number` hands out its output."""
    return f"ipc://{bus_dir}/{number}.d"


def back_address(bus_dir: str, number: int) -> str:
    """Where actor `number` takes what its consumers have to say."""
    return f"ipc://{bus_dir}/{number}.a"


def loop_address(bus_dir: str, number: int) -> str:
    """Where head `number` takes what gates, last actors and other heads have to say."""
    return f"ipc://{bus_dir}/{number}.l"


def broker_address(bus_dir: str) -> str:
    """Where the broker answers."""
    return f"ipc://{bus_dir}/broker.ctl"
