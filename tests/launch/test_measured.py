"""``-plan`` beside a run: what passes between its hosts, where the same actors run already."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from caspy.figures import rows
from caspy.measured import UNKNOWN
from tests.buses import Run, caspy, wait_for
from tests.launch.test_ls import CARD, report, status

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("measured")


@pytest.fixture
def hosts(tmp_path: Path) -> str:
    path = tmp_path / "hosts.toml"
    path.write_text('[hosts.a]\nengine = "local"\n[hosts.b]\nengine = "local"\n')
    return str(path)


def line(hosts: str, size: int = 1000, function: str = "max", host: str = "@b") -> list[str]:
    """Return a pipe over two hosts and home."""
    source = ("--from-scratch", "counter", f"n={size}", "rate=100", "@a")
    return ["-hosts", hosts, *source, "--npfun", function, host, "--to-summary"]


def network(*words: str) -> Any:
    done = caspy("-plan", "json", *words)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)["network"]


def measured(*words: str) -> Any:
    """Return what passes, once something does in the last second."""

    def look() -> Any:
        found = network(*words)
        return found if found and all(one["bytes_a_second"] for one in found["edges"]) else None

    return wait_for(look, "figures")


def test_where_nothing_runs_it_says_where_sizes_become_known(hosts: str) -> None:
    text = caspy("-plan", *line(hosts)).stdout
    assert text.splitlines()[1:3] == ["  2 edges cross the network", f"  {UNKNOWN}"]
    assert network(*line(hosts)) is None
    assert UNKNOWN not in caspy("-plan", "--from-scratch", "counter", "n=1", "--to-summary").stdout
    for form in ("dot", "mermaid"):
        assert caspy("-plan", form, *line(hosts)).returncode == 0


def test_where_the_same_actors_run_it_shows_what_passes(hosts: str) -> None:
    with Run("-bus", "scan", *line(hosts)) as run:
        found = measured(*line(hosts))
        assert found["bus"] == "scan"
        first, second = found["edges"]
        assert (first["from"], first["to"]) == ("scratch.1", "npfun.2")
        assert (second["from"], second["to"]) == ("npfun.2", "summary.3")
        assert 8000 < first["bytes_a_message"] < 8300
        assert second["bytes_a_message"] < 300
        for one in found["edges"]:
            assert 50 < one["messages_a_second"] < 200
            product = one["messages_a_second"] * one["bytes_a_message"]
            assert 0.8 * product < one["bytes_a_second"] < 1.25 * product
        text = caspy("-plan", *line(hosts)).stdout
        assert UNKNOWN not in text
        table = [row.split() for row in text.partition("over the network in ")[2].splitlines()]
        assert table[0] == ["bus", "scan", "to", "B/message", "1/s", "B/s"]
        assert [row[:4] for row in table[1:]] == [
            ["scratch.1", "@a", "npfun.2", "@b"],
            ["npfun.2", "@b", "summary.3", table[2][3]],
        ]
        for others in (
            ["-window", "3", *line(hosts)], ["-count", "7", *line(hosts)],
            line(hosts, size=5), ["-bus", "scan", *line(hosts)],
        ):  # fmt: skip
            assert network(*others)["bus"] == "scan"
        for strangers in (
            ["-bus", "other", *line(hosts)], line(hosts, host="@a"),
            [*line(hosts)[:-4], "--rename", "x", *line(hosts)[-1:]],
            [*line(hosts), ",", "--from-scratch", "zeros", "a=1"],
        ):  # fmt: skip
            assert network(*strangers) is None
        run.interrupt()
        assert run.wait() == 0


def test_of_several_the_newest_or_the_one_that_is_named(hosts: str) -> None:
    with Run("-bus", "one", *line(hosts, size=1000)):
        measured(*line(hosts))
        with Run("-bus", "two", *line(hosts, size=3000)):
            wait_for(lambda: (network(*line(hosts)) or {}).get("bus") == "two", "the newest")
            assert network(*line(hosts))["edges"][0]["bytes_a_message"] > 20_000
            named = measured("-bus", "one", *line(hosts))
            assert (named["bus"], named["edges"][0]["bytes_a_message"] < 9000) == ("one", True)


def test_messages_a_second_are_those_between_two_reports() -> None:
    before = report(100, 10.0, out={"messages": 100, "bytes": 1000})
    now = report(150, 12.0, out={"messages": 160, "bytes": 5000})
    assert rows(CARD, status(before, now))[0].rate_messages == 30.0
