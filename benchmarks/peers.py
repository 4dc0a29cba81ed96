"""Peers from the package index, each in an environment of its own under `.bench/`."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Unavailable
from benchmarks.processes import ROOT

FOLDER = ROOT / ".bench"
_INSTALL_S = 600.0


@dataclass(frozen=True)
class Peer:
    """A program of the package index.

    Attributes
    ----------
    name
        Of its environment.
    requirements
        What to install.
    program
        A file in the environment's `bin` that is there once it is installed.
    pythons
        Versions of Python to try, best first; '' is the running one.
    """

    name: str
    requirements: tuple[str, ...]
    program: str
    pythons: tuple[str, ...] = ("",)


#: Its Zarr sink wants a zarr for Python 3.12 and newer; what its sinks import, it does not name.
REFERENCE = Peer("camagick", ("camagick==0.5.8", "fsspec", "h5py", "zarr"), "caspy", ("3.12", ""))
PVAPY = Peer("pvapy", ("pvapy==5.6.0", "numpy"), "pvapy-hpc-consumer")
DORA = Peer("dora", ("dora-rs==1.1.0", "dora-rs-cli==1.1.0", "numpy", "pyarrow"), "dora")
ALL = (REFERENCE, PVAPY, DORA)

# For these processes alone. pvAccess wants an interface that can broadcast; this one leads nowhere.
_NETWORK = "; ".join(
    [
        "mount -t tmpfs tmpfs /dev/shm",  # a killed peer leaves its shared memory there
        "ip link set lo up multicast on",
        "ip link add bench0 type veth peer name bench1",
        "ip addr add 10.99.0.1/24 broadcast 10.99.0.255 dev bench0",
        "ip link set bench0 up",
        "ip link set bench1 up",
    ]
)

#: Peers that are not to be run, by name; and those that were asked for.
excluded: set[str] = set()
asked: set[Peer] = set()


def install_all() -> None:
    """Install whatever can be installed, before anything is measured."""
    for peer in ALL:
        with contextlib.suppress(Unavailable):
            folder(peer)


def folder(peer: Peer) -> Path:
    """Return the `bin` folder of a peer's environment; installs it where it is not there.

    Raises
    ------
    Unavailable
        If it was left out, or cannot be installed.
    """
    asked.add(peer)
    if peer.name in excluded:
        raise Unavailable("left out")
    return _installed(peer)


@functools.cache
def _installed(peer: Peer) -> Path:
    problem = ""
    for version in peer.pythons:
        python = find_python(version)
        if python is None:
            problem = f"no Python {version}"
            continue
        where = FOLDER / f"{peer.name}-{version or python_version(sys.executable)}"
        if _complete(where, peer):
            return where / "bin"
        try:
            return _install(peer, python, where)
        except subprocess.SubprocessError as error:
            shutil.rmtree(where, ignore_errors=True)
            problem = _last_line(error)
    raise Unavailable(f"cannot be installed: {problem}")


def _install(peer: Peer, python: str, where: Path) -> Path:
    print(
        f"installing {' '.join(peer.requirements)} into {where.relative_to(ROOT)} ...", flush=True
    )
    pip = [str(where / "bin/pip"), "--disable-pip-version-check", "install", "--quiet"]
    for command in ([python, "-m", "venv", "--clear", str(where)], [*pip, *peer.requirements]):
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_INSTALL_S)
    if not (where / "bin" / peer.program).exists():
        raise subprocess.SubprocessError(f"there is no {peer.program} in it")
    (where / ".complete").write_text(_mark(where, peer))
    return where / "bin"


def _complete(where: Path, peer: Peer) -> bool:
    try:
        return (where / ".complete").read_text() == _mark(where, peer)
    except FileNotFoundError:
        return False


def _mark(where: Path, peer: Peer) -> str:
    """Return what a finished environment says; it cannot be moved, so its place is a part of it."""
    return "\n".join([str(where), *peer.requirements])


def _last_line(error: subprocess.SubprocessError) -> str:
    lines = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


def find_python(version: str) -> str | None:
    """Return a Python of a version such as '3.12', or None; '' is the running one."""
    if not version:
        return sys.executable
    candidates = [shutil.which(f"python{version}")]
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    candidates += [str(path) for path in pyenv.glob(f"versions/{version}.*/bin/python")]
    for python in filter(None, candidates):  # a shim of pyenv may be there and not run
        if python_version(python) == version:
            return python
    return None


def python_version(python: str) -> str:
    """Return the version of a Python, as '3.12'; '' if it does not run."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def alone(command: list[str]) -> list[str]:
    """Return a command that runs in a network of its own, with nothing but loopback in it.

    Whatever it starts ends with it. For peers that speak to every network they see.
    """
    if shutil.which("unshare") is None:
        raise Unavailable("there is no unshare, and it would speak to the network")
    spaces = ["--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return ["unshare", *spaces, "sh", "-c", f'{_NETWORK}; exec "$@"', "sh", *command]


def describe() -> dict[str, str]:
    """Return, for each peer that was asked for, what was installed, or why not."""
    found = {}
    for peer in (peer for peer in ALL if peer in asked):
        try:
            python = folder(peer) / "python"
        except Unavailable as why:
            found[peer.name] = f"not run: {why}"
        else:
            version = python_version(str(python))
            found[peer.name] = f"{' '.join(peer.requirements)} on Python {version}"
    return found
