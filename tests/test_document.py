"""The commands users of the single-process program know, on the bus, against real EPICS.

Each runs against the ad-hoc IOC of the recipe, and against a C IOC, through a shell, with the
quoting that users type. Values differ, shapes and formats do not.
"""

# ruff: noqa: E501, ISC004 - commands stay as users type them
from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import pytest
import zarr

from tests.docs_runner import _H5LS
from tests.servers.ioc import SoftIoc, ca_env, caget, camonitor, caput, full, until

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
CASPY = Path(sys.executable).with_name("caspy")
DEADLINE_S = 60.0
NUMBER = r"-?\d+(\.\d+)?(e-?\d+)?"
COUNT = 2

C_DATABASE = """
record(calc, "$(P)iffy") { field(CALC, "RNDM") field(SCAN, ".2 second") }
record(waveform, "$(P)jedda") { field(FTVL, "DOUBLE") field(NELM, "2048") }
record(ao, "$(P)mark") { field(VAL, "0") field(PINI, "YES") }
"""


class ExampleIoc(SoftIoc):
    PREFIX = "EXAMPLE:"


@contextlib.contextmanager
def ad_hoc(folder: Path) -> Iterator[int]:
    """Give the port of the ad-hoc IOC, run by caspy from its recipe."""
    with ca_env() as env:
        command = [str(CASPY), "-y", str(ROOT / "examples/ad-hoc.spy")]
        process = subprocess.Popen(command, env=full(env), cwd=folder)
        try:
            caget(env, "EXAMPLE:jedda")
            yield int(env["EPICS_CAS_SERVER_PORT"])
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(DEADLINE_S) == 0


@contextlib.contextmanager
def c_ioc(folder: Path) -> Iterator[int]:
    """Give the port of a C IOC with the same PVs, fed through caput."""
    with ca_env() as env:
        server = ExampleIoc(env, C_DATABASE, folder)
        server.start()
        stop = threading.Event()

        def feed() -> None:
            while not stop.wait(0.1):
                server.put("jedda", *(round(random.random(), 4) for _ in range(2048)))  # noqa: S311
                for mark in (1, 0):
                    server.put("mark", mark)

        feeder = threading.Thread(target=feed)
        feeder.start()
        try:
            yield int(env["EPICS_CAS_SERVER_PORT"])
        finally:
            stop.set()
            feeder.join()
            server.kill()


@pytest.fixture(scope="module", params=["ad-hoc", "C"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("ioc")
    with (ad_hoc if request.param == "ad-hoc" else c_ioc)(folder) as port:
        yield port


@pytest.fixture
def env(server: int, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Variables for a caspy that finds the server, and has a CA port of its own."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/caspy").symlink_to(CASPY)
    with ca_env(server) as ca:
        keep = {"XDG_RUNTIME_DIR": os.environ["XDG_RUNTIME_DIR"], "MPLBACKEND": "Agg"}
        yield {**full(ca), **keep, "PATH": f"{tmp_path}/bin:/usr/bin:/bin"}


def shell(line: str, env: dict[str, str], folder: Path, count: int = COUNT) -> list[str]:
    """Run a command as typed, let it do `count` iterations, and return what it prints."""
    line = line.replace("caspy ", f"caspy -count {count} ", 1)
    done = subprocess.run(
        ["bash", "-c", line], env=env, cwd=folder, capture_output=True, text=True,
        timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # Two values under one tag get names of their own, and that is said.
    complaints = [line for line in done.stderr.splitlines() if "comes out of several" not in line]
    assert not complaints
    return done.stdout.splitlines()


PRINTS = [
    (r"caspy --from-epics EXAMPLE:jedda --npfun sum --to-summary", [rf"EXAMPLE_jedda: {NUMBER}"] * 2),
    (r"caspy --from-epics EXAMPLE:jedda --reshape 64 32 --npfun sum axis=1 --to-summary",
     [r"EXAMPLE_jedda: shape=\(64,\) <class 'float'>"] * 2),
    (r"caspy --from-epics EXAMPLE:jedda --npfun gradient --to-summary",
     [r"EXAMPLE_jedda: shape=\(2048,\) <class 'float'>"] * 2),
    (r"caspy --from-epics EXAMPLE:jedda --reshape 64 32 --slice 0 --to-summary",
     [r"EXAMPLE_jedda: shape=\(32,\) <class 'float'>"] * 2),
    (r"caspy --from-epics EXAMPLE:jedda --reshape 64 32 --slice 0:10 3:8 --to-summary",
     [r"EXAMPLE_jedda: shape=\(10, 5\) <class 'float'>"] * 2),
    ("caspy --from-epics EXAMPLE:jedda \\\n --reshape 64 32 \\\n --slice 0:10 3:8 \\\n"
     " --npfun sum \\\n --to-summary", [rf"EXAMPLE_jedda: {NUMBER}"] * 2),
    (r"caspy --from-epics EXAMPLE:jedda --reshape 64 32 --slice 16:48 8:24 --npfun sum"
     r" --to-summary mode=table", [r"# EXAMPLE_jedda", NUMBER, NUMBER]),
    (r"caspy [ --from-epics EXAMPLE:jedda --npfun sum --to-summary ]",
     [rf"EXAMPLE_jedda: {NUMBER}"] * 2),
    (r"caspy --from-epics EXAMPLE:jedda { --npfun sum --npfun min --npfun max } --to-summary mode=table",
     [r"# EXAMPLE_jedda_sum\tEXAMPLE_jedda_min\tEXAMPLE_jedda_max", *[rf"{NUMBER}\t{NUMBER}\t{NUMBER}"] * 2]),
    ("caspy --from-epics EXAMPLE:jedda \\\n\t{ [ --npfun sum --rename {}_s ] \\\n"
     "\t  [ --npfun min --rename {}_m ] \\\n\t  [ --npfun max --rename {}_M ] } \\\n"
     "\t--to-summary mode=table",
     [r"# EXAMPLE_jedda_s\tEXAMPLE_jedda_m\tEXAMPLE_jedda_M", *[rf"{NUMBER}\t{NUMBER}\t{NUMBER}"] * 2]),
    (r"caspy --from-epics EXAMPLE:jedda EXAMPLE:iffy { [ --only .*jedda --npfun sum ] --only .*iffy }"
     r" --to-summary mode=table",
     [r"# EXAMPLE_jedda\tEXAMPLE_iffy", *[rf"{NUMBER}\t{NUMBER}"] * 2]),
    (r"caspy --from-epics EXAMPLE:iffy EXAMPLE:jedda --to-hdf5 my-data.h5#group/{tag} --to-summary",
     [row for n in range(2) for row in (
         rf"EXAMPLE_iffy: \./my-data\.h5#group/EXAMPLE_iffy\[{n}\]",
         rf"EXAMPLE_jedda: \./my-data\.h5#group/EXAMPLE_jedda\[{n}\]")]),
]  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), PRINTS, ids=[line for line, _ in PRINTS])
def test_what_a_command_prints(
    line: str, expected: list[str], env: dict[str, str], tmp_path: Path
) -> None:
    lines = shell(line, env, tmp_path)
    assert len(lines) == len(expected), lines
    for text, pattern in zip(lines, expected, strict=True):
        assert re.fullmatch(pattern, text), (pattern, text)


@pytest.mark.parametrize(
    ("line", "panel", "count"),
    [
        (r"caspy --from-epics EXAMPLE:jedda --to-plot", "EXAMPLE_jedda:line", 1),
        (r"caspy --from-epics iffy prefix=EXAMPLE: --stack --to-plot", "iffy:line", 2),
        (r"caspy --from-epics EXAMPLE:jedda --reshape 64 32 --to-plot", "EXAMPLE_jedda:image", 1),
    ],
)
def test_what_a_command_plots(
    line: str, panel: str, count: int, env: dict[str, str], tmp_path: Path
) -> None:
    """In a window of Qt, which has no screen here; what its pixels are: see the plot sink."""
    del env["MPLBACKEND"]
    env |= {"QT_QPA_PLATFORM": "offscreen", "CASPY_LOG_LEVEL": "DEBUG"}
    done = subprocess.run(
        ["bash", "-c", line.replace("caspy ", f"caspy -count {count} ", 1)], env=env, cwd=tmp_path,
        capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(rf'msg="drawn" seq=\d+ panels={panel}\n', done.stderr), done.stderr
    assert "no window" not in done.stderr


def tree(path: Path) -> list[str]:
    """Return what `h5ls -r` prints: Debian's own, or what the tests of documents have for it."""
    own = [sys.executable, "-c", _H5LS]
    done = subprocess.run(
        [*(own if shutil.which("h5ls") is None else ["h5ls", "-r"]), str(path)],
        capture_output=True, text=True, timeout=DEADLINE_S, check=True,
    )  # fmt: skip
    return [" ".join(line.split()) for line in done.stdout.splitlines()]


def test_growing_datasets(env: dict[str, str], tmp_path: Path) -> None:
    line = r"""caspy --from-epics EXAMPLE:iffy EXAMPLE:jedda \
            --to-hdf5 my-data.h5#group/{tag} \
            --to-summary"""
    printed = shell(line, env, tmp_path, count=3)
    assert printed[-1] == "EXAMPLE_jedda: ./my-data.h5#group/EXAMPLE_jedda[2]"
    assert tree(tmp_path / "my-data.h5") == [
        "/ Group",
        "/group Group",
        "/group/EXAMPLE_iffy Dataset {3/Inf}",
        "/group/EXAMPLE_jedda Dataset {3/Inf, 2048}",
    ]
    with h5py.File(tmp_path / "my-data.h5") as file:
        assert file["group/EXAMPLE_jedda"].dtype == "f8"
        assert file.attrs["recipe"] == (
            "caspy -count 3 --from-epics EXAMPLE:iffy EXAMPLE:jedda"
            " --to-hdf5 'my-data.h5#group/{tag}' --to-summary"
        )


def test_growing_arrays(env: dict[str, str], tmp_path: Path) -> None:
    """And, beside them, the times that the control system tells."""
    zarr_line = r"""caspy --from-epics EXAMPLE:iffy EXAMPLE:jedda \
            --to-zarr my-data.zarr#group/{tag}"""
    line = zarr_line.replace("--to-zarr", "{ --to-zarr") + " --to-hdf5 too.h5 stamp=1 }"
    since = time.time() - 60  # what does not change is older than this run
    shell(line, env, tmp_path, count=3)
    group = zarr.open_group(tmp_path / "my-data.zarr", path="group", mode="r")
    shapes = {name: array.shape for name, array in group.arrays()}
    assert shapes == {"EXAMPLE_iffy": (3,), "EXAMPLE_jedda": (3, 2048)}
    with h5py.File(tmp_path / "too.h5") as file:
        times = file["EXAMPLE_jedda_timestamp"][...]
        assert since < times[0] <= times[1] <= times[2] < time.time()
        assert len(file["EXAMPLE_jedda_severity"]) == 3


@contextlib.contextmanager
def running(line: str, env: dict[str, str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a command in the background, and end it by Ctrl-C."""
    with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
        process = subprocess.Popen(
            ["bash", "-c", f"exec {line}"], env=env, cwd=folder, text=True, stdout=out, stderr=err
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(DEADLINE_S)
    assert code == 0, (folder / "err").read_text()


def output(folder: Path) -> list[str]:
    return (folder / "out").read_text().splitlines()


def printed(folder: Path, count: int) -> bool:
    return len(output(folder)) == count


def test_a_roi_is_published(env: dict[str, str], tmp_path: Path) -> None:
    line = r"""caspy --from-epics EXAMPLE:jedda --reshape 64 32 --slice 16:48 8:24 --npfun sum \
               --to-ioc prefix=RESULT:"""
    with running(line, env, tmp_path), camonitor(env, "RESULT:EXAMPLE_jedda") as monitor:
        until(lambda: len(monitor.lines()) >= 3, "three updates")
        for text in monitor.lines():
            assert re.fullmatch(rf"RESULT:EXAMPLE_jedda +\d+-\d+-\d+ [\d:.]+ {NUMBER} *", text)


@pytest.mark.parametrize("server", ["ad-hoc"], indirect=True)
def test_the_marker_is_busy_then_idle_around_each_value(env: dict[str, str]) -> None:
    with camonitor(env, "EXAMPLE:iffy", "EXAMPLE:mark") as monitor:
        # It begins with what there is; after that there are periods of three lines.
        until(lambda: len(monitor.lines()) >= 9, "two periods")
        lines = [line.split() for line in monitor.lines()[2:9]]
    seen = "".join(line[-1] if line[0] == "EXAMPLE:mark" else "v" for line in lines)
    assert seen in "1v01v01v01v0", lines


def test_the_whole_example(env: dict[str, str], tmp_path: Path) -> None:
    """A region's sum into a new PV, everything into a file, and a plot, side by side."""
    line = r"""caspy --from-epics EXAMPLE:jedda     \
        {                              \
          [                            \
            --reshape 64 32            \
            --slice 16:48 8:24         \
            --npfun sum                \
            --rename {}_roi            \
          ]                            \
          --idem                       \
        }                              \
        {                              \
          [                            \
            --to-hdf5 my-data.h5#{tag} \
          ]                            \
          [                            \
            {                          \
              [ --only .*roi --stack ] \
              [ --exclude .*roi ]      \
            }                          \
            --to-plot                  \
          ]                            \
          [                            \
            --only .*roi               \
            --to-ioc prefix=EXAMPLE:   \
          ]                            \
        }"""
    with running(line, env, tmp_path), camonitor(env, "EXAMPLE:EXAMPLE_jedda_roi") as monitor:
        until(lambda: len(monitor.lines()) >= 2, "two updates")
    with h5py.File(tmp_path / "my-data.h5") as file:
        frames, sums = file["EXAMPLE_jedda"][...], file["EXAMPLE_jedda_roi"][...]
    assert frames.shape[1:] == (2048,)
    regions = frames.reshape(-1, 64, 32)[:, 16:48, 8:24]
    assert sums == pytest.approx(regions.sum(axis=(1, 2)))


def test_values_from_a_client(env: dict[str, str], tmp_path: Path) -> None:
    line = 'caspy --from-ioc var="ene(0.0)" prefix=EXAMPLE: --to-summary'
    with running(line, env, tmp_path):
        until(lambda: output(tmp_path) == ["var: 0.0"], "the first value")
        for n, value in enumerate(("3.14", "6.28"), 2):
            caput(env, "EXAMPLE:ene", value)
            until(partial(printed, tmp_path, n), "a value")
    assert output(tmp_path) == ["var: 0.0", "var: 3.14", "var: 6.28"]


def test_a_scan_number_in_the_path(env: dict[str, str], tmp_path: Path) -> None:
    line = r"""caspy --from-ioc scan="scan(0)" prefix=EXAMPLE: hang=False \
            --from-epics EXAMPLE:jedda \
            --demote scan \
            --to-hdf5 my-data.h5#scan-{scan:03d}/data --to-summary"""
    with running(line, env, tmp_path):
        until(lambda: len(output(tmp_path)) >= 2, "frames of scan 0")
        caput(env, "EXAMPLE:scan", "1")
        until(lambda: sum("scan-001" in text for text in output(tmp_path)) >= 2, "frames of scan 1")
    lines = output(tmp_path)
    counts = [sum(f"scan-{scan:03d}/data" in text for text in lines) for scan in (0, 1)]
    found = tree(tmp_path / "my-data.h5")
    stored = [int(found[at].partition("{")[2].partition("/")[0]) for at in (2, 4)]
    # What is printed last may be one behind at Ctrl-C.
    assert all(0 <= there - told <= 1 for there, told in zip(stored, counts, strict=True))
    assert found == [
        "/ Group",
        "/scan-000 Group",
        f"/scan-000/data Dataset {{{stored[0]}/Inf, 2048}}",
        "/scan-001 Group",
        f"/scan-001/data Dataset {{{stored[1]}/Inf, 2048}}",
    ]


SCAN_AND_FRAME = r"""caspy --from-ioc 'scan=scan(1)' 'frame=frame(0)' prefix=EXAMPLE: \
    --demote scan frame                                                              \
    --from-epics EXAMPLE:jedda when=\"EXAMPLE:mark==0\"                              \
    --reshape 64 32                                                                  \
    %s --to-hdf5 my-data.h5#scan-{scan:03d}/{tag} index=frame mode=a+ strict=0       \
    --to-summary mode=table"""


def test_scan_and_frame(env: dict[str, str], tmp_path: Path) -> None:
    with running(SCAN_AND_FRAME % "", env, tmp_path):
        until(lambda: len(output(tmp_path)) == 2, "the first frame")
        for frame in (1, 2, 3):
            caput(env, "EXAMPLE:frame", str(frame))
            until(partial(printed, tmp_path, frame + 2), f"frame {frame}")
        caput(env, "EXAMPLE:scan", "2")
        until(lambda: len(output(tmp_path)) == 6, "the first frame of scan 2")
        caput(env, "EXAMPLE:frame", "0")
        until(lambda: "Ignoring frame index error" in (tmp_path / "err").read_text(), "a refusal")
    assert output(tmp_path) == [
        "# EXAMPLE_jedda",
        *[f"my-data.h5#scan-001/EXAMPLE_jedda[{n}]" for n in range(4)],
        "my-data.h5#scan-002/EXAMPLE_jedda[3]",
    ]
    assert tree(tmp_path / "my-data.h5")[2::2] == [
        f"/scan-00{scan}/EXAMPLE_jedda Dataset {{4/Inf, 64, 32}}" for scan in (1, 2)
    ]
    refused, ignored = (tmp_path / "err").read_text().splitlines()
    assert refused == (
        'ERROR:camagick.sink.hdf5:msg="Overwrite not permitted" index=0 file=my-data.h5 frames=4'
        ' dataset="/scan-002/EXAMPLE_jedda"'
    )
    assert ignored.startswith(
        'ERROR:camagick.sink.hdf5:msg="Ignoring frame index error as instructed"'
    )


def test_scan_and_frame_with_a_roi(env: dict[str, str], tmp_path: Path) -> None:
    roi = "{ [ --slice 16:48 8:26 --npfun sum --rename {}_roi ]  [ ] }"
    with running(SCAN_AND_FRAME % roi, env, tmp_path):
        until(lambda: len(output(tmp_path)) == 2, "the first frame")
    with h5py.File(tmp_path / "my-data.h5") as file:
        assert file["scan-001/EXAMPLE_jedda"].shape == (1, 64, 32)
        assert file["scan-001/EXAMPLE_jedda_roi"].shape == (1,)
