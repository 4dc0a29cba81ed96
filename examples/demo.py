"""The main job in one go: an ad-hoc IOC, a pipe on it, an HDF5 file, and a new PV.

Everything stays on this machine: the servers listen on loopback, at ports that are free.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
CASPY = str(Path(sys.executable).with_name("caspy"))
DEADLINE_S = 40

ROI = """
--from-epics EXAMPLE:jedda --reshape 64 32
{ [ --slice 16:48 8:24 --npfun sum --rename {}_roi ] [ ] }
{ [ --only .*roi --to-summary ]
  --to-hdf5 demo.h5#{tag}
  [ --only .*roi --to-ioc prefix=RESULT: ] }
"""
READ_BACK = "-count 3 --from-epics RESULT:EXAMPLE_jedda_roi --to-summary"


def main() -> None:
    """Run the demo; exit code 1 where something did not come out."""
    first, second = free_ports(2)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink,
        tempfile.TemporaryDirectory() as folder,
    ):
        sink.bind(
            ("127.0.0.1", 0)
        )  # takes the servers' beacons, so that nothing leaves this machine
        common = {
            "EPICS_CA_AUTO_ADDR_LIST": "NO",
            "EPICS_CA_ADDR_LIST": f"127.0.0.1:{first} 127.0.0.1:{second}",
            "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
            "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
            "EPICS_CAS_BEACON_ADDR_LIST": f"127.0.0.1:{sink.getsockname()[1]}",
        }
        say("An ad-hoc IOC with two made-up signals, EXAMPLE:iffy and EXAMPLE:jedda:")
        with running(f"-yaml {HERE / 'ad-hoc.spy'}", common, first, folder):
            say(
                "In another terminal: sum up a region of the image, print it, store it, publish it:"
            )
            with running(ROI, common, second, folder) as pipe:
                say("In a third one: read the new PV.")
                code = subprocess.run(
                    shown(READ_BACK), env={**os.environ, **common}, timeout=DEADLINE_S, check=False
                ).returncode
                pipe.send_signal(
                    signal.SIGINT
                )  # Ctrl-C: what is under way still gets into the file
                pipe.wait(DEADLINE_S)
        frames = list_file(Path(folder) / "demo.h5")
    if code or not frames:
        sys.exit("the demo did not work: see above")
    say("That was it.")


def say(text: str) -> None:
    """Print a headline."""
    print(f"\n# {text}", flush=True)


def shown(line: str) -> list[str]:
    """Print a caspy command, and return it."""
    print("$ caspy " + " ".join(line.replace(f"{HERE}", "examples").split()), flush=True)
    return [CASPY, *shlex.split(line)]


@contextlib.contextmanager
def running(
    line: str, env: dict[str, str], port: int, folder: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a caspy command in the background, and end it as Ctrl-C does."""
    process = subprocess.Popen(
        shown(line), cwd=folder, env={**os.environ, **env, "EPICS_CAS_SERVER_PORT": str(port)}
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def free_ports(count: int) -> list[int]:
    """Return ports that are free for TCP and UDP on loopback."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port = tcp.getsockname()[1]
            with contextlib.suppress(OSError):
                udp.bind(("127.0.0.1", port))
                found.append(port)
    return found


def list_file(path: Path) -> int:
    """Print what `h5ls -r` would; return the number of frames."""
    import h5py

    say(f"h5ls -r {path.name}")
    frames = 0
    with h5py.File(path) as file:
        rows = {"/": "Group"}

        def add(name: str, item: object) -> None:
            nonlocal frames
            if isinstance(item, h5py.Dataset):
                sizes = zip(item.shape, item.maxshape, strict=True)
                shape = ", ".join(f"{n}/Inf" if most is None else str(n) for n, most in sizes)
                rows[f"/{name}"] = f"Dataset {{{shape}}}"
                frames = max(frames, item.shape[0])
            else:
                rows[f"/{name}"] = "Group"

        file.visititems(add)
    for name, text in rows.items():
        print(f"{name:<24} {text}")
    return frames


if __name__ == "__main__":
    main()
