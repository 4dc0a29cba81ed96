"""Every file in examples/ runs, for a bounded time, and ends as it should."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import h5py
import pytest
import yaml

from tests.docs_runner import ROOT, Running, blocks, environment, loopback, until_there

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = ROOT / "examples"
#: Files that a test below is about.
TRIED = {
    "README.md", "ad-hoc.spy", "api_bluesky.py", "api_function_source.py", "api_hello_ioc.py",
    "api_plot.py", "demo.py", "loopback.env", "own_processor.py", "roi-to-ioc.spy",
    "roi.spy", "scan-to-hdf5.spy", "tango-bridge.spy",
}  # fmt: skip
#: Runs a script with its debug messages shown.
_WITH_LOG = (
    'import logging, runpy, sys; logging.basicConfig(level="DEBUG");'
    'runpy.run_path(sys.argv[1], run_name="__main__")'
)
Start = Callable[..., Running]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Give a function that starts a command in the test's folder; `server` is the n-th IOC."""
    processes: list[Running] = []
    with environment(tmp_path / "bin") as (env, ports):

        def run(command: str, server: int = 0, **more: str) -> Running:
            port = ports[str(15064 + server)]
            own = {**env, "EPICS_CAS_SERVER_PORT": port, "EXAMPLES": str(EXAMPLES), **more}
            processes.append(Running(command, tmp_path, own))
            return processes[-1]

        yield run
        for process in processes:
            process.close()


def stop(process: Running) -> list[str]:
    """Press Ctrl-C, and return what was still printed; it has to end well."""
    process.interrupt()
    code, lines = process.wait(), []
    while (line := process.line()) is not None:
        lines.append(line)
    assert code == 0, lines
    return lines


def test_no_example_is_forgotten() -> None:
    found = {path.name for path in EXAMPLES.iterdir() if path.is_file()}
    assert found == TRIED


def test_the_loopback_variables_stay_on_loopback() -> None:
    variables: Mapping[str, str] = loopback({})
    assert variables["EPICS_CA_AUTO_ADDR_LIST"] == "NO"
    assert variables["EPICS_CAS_AUTO_BEACON_ADDR_LIST"] == "NO"
    assert variables["EPICS_CAS_INTF_ADDR_LIST"] == "127.0.0.1"
    for name in ("EPICS_CA_ADDR_LIST", "EPICS_CAS_BEACON_ADDR_LIST"):
        assert variables[name], name
        assert all(one.startswith("127.0.0.1:") for one in variables[name].split()), name


def test_the_recipes_work_together(start: Start, tmp_path: Path) -> None:
    ioc = start("caspy -yaml $EXAMPLES/ad-hoc.spy")
    roi = start("caspy -yaml $EXAMPLES/roi-to-ioc.spy", server=1)
    scan = start("caspy -yaml $EXAMPLES/scan-to-hdf5.spy", server=2)
    until_there("RESULT:EXAMPLE_jedda_roi", ioc.env)
    assert [scan.line(), scan.line()] == [
        "# EXAMPLE_jedda",
        "my-data.h5#scan-001/EXAMPLE_jedda[0]",
    ]
    put = start("caput EXAMPLE:frame 1")
    assert put.wait() == 0
    assert scan.line() == "my-data.h5#scan-001/EXAMPLE_jedda[1]"
    assert stop(roi) == []  # its port is the next one's
    # Its own end, so that all that it serves and draws is there when it is looked at.
    everything = start("caspy -yaml $EXAMPLES/roi.spy -count 3", server=1, MPLBACKEND="Agg")
    assert everything.wait() == 0
    with h5py.File(tmp_path / "run.h5") as file:
        images, sums = file["img"][...], file["img_roi"][...]
    assert images.shape == (3, 64, 32)
    assert sums == pytest.approx(images[:, 16:48, 8:24].sum(axis=(1, 2)))
    assert (tmp_path / "roi.png").read_bytes().startswith(b"\x89PNG")
    for process in (scan, ioc):
        assert stop(process) == []


def test_the_bridge_is_the_one_that_is_tested() -> None:
    """That of the page, with a Tango server and kills: tests/test_document_tango.py."""
    shown = next(one for one in blocks(ROOT / "docs/tango.md") if one.file == "bridge.spy")
    recipe = (EXAMPLES / "tango-bridge.spy").read_text()
    assert list(yaml.safe_load_all(recipe)) == list(yaml.safe_load_all(shown.text))


def test_demo(start: Start) -> None:
    demo = start("python $EXAMPLES/demo.py")
    lines = []
    demo.deadline += 40
    while (line := demo.line()) is not None:
        lines.append(line)
    assert demo.wait() == 0, lines
    assert any("_roi" in line for line in lines), lines


def test_own_processor(start: Start) -> None:
    words = "--from-scratch linspace x=5 --own_processor:Threshold 0.6 --sum --to-summary"
    run = start(f"caspy {words} -count 1", PYTHONPATH=str(EXAMPLES))
    assert run.line() == "x: 1.75"
    assert run.wait() == 0


def test_api_hello_ioc(start: Start) -> None:
    script = start("python $EXAMPLES/api_hello_ioc.py")
    assert script.line() == "foo: 0"
    until_there("TEST:foo", script.env)
    assert start("caput TEST:foo 8").wait() == 0
    assert script.line() == "foo: 8"
    script.interrupt()  # a plain loop of asyncio: Ctrl-C is a KeyboardInterrupt there
    script.wait()


def test_api_bluesky(start: Start) -> None:
    pytest.importorskip("bluesky")
    pytest.importorskip("ophyd")
    script = start("python $EXAMPLES/api_bluesky.py", OPHYD_CONTROL_LAYER="dummy")
    assert "until Ctrl-C" in str(script.line())
    until_there("LIVE:motor", script.env)  # the last of both
    for name, value in (("LIVE:img_roi", "42"), ("LIVE:motor", "7")):
        show = start(f"caget -t {name}")
        while (line := show.line()) != value:
            assert line is None, line
            show = start(f"caget -t {name}")
    assert stop(script) == []


@pytest.mark.parametrize("name", ["api_plot.py", "api_function_source.py"])
def test_api_plots(start: Start, name: str) -> None:
    script = start(f"python -c '{_WITH_LOG}' $EXAMPLES/{name}")
    while "drawn" not in (line := str(script.line())):
        assert line != "None", "it ended before a picture was drawn"
    stop(script)


def test_the_scripts_are_what_the_document_shows() -> None:
    for name in ("api_hello_ioc.py", "api_plot.py", "api_function_source.py"):
        tree = ast.parse((EXAMPLES / name).read_text())
        assert ast.unparse(tree.body[-1]) == "asyncio.run(main())", name
