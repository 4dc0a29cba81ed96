"""One meaning, two ways to run: the bus does what the loop in one process does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORDER = Path(__file__).with_name("recorder.py")
SOURCE = ["--from-scratch", "counter", "a=1", "b=3", "c=2,2", "rate=1e9"]


class Runner:
    """A process that runs flows both ways."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", str(RECORDER)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def __call__(self, words: list[str], count: int = 6, window: int = 8) -> dict[str, Any]:
        """Return what came out in one process, and on the bus."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        request = {"words": words, "count": count, "window": window}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, f"the runner died of {' '.join(words)}"
        return dict(json.loads(answer))


@pytest.fixture(scope="module")
def run() -> Iterator[Runner]:
    runner = Runner()
    yield runner
    assert runner.process.stdin is not None
    runner.process.stdin.close()
    assert runner.process.wait(20) == 0
    assert runner.process.stdout is not None
    runner.process.stdout.close()


def record(name: str) -> list[str]:
    return ["--to-tests_recorder:Recorder", name]


def step(*words: str) -> st.SearchStrategy[list[str]]:
    return st.just(list(words))


#: Pipes that fit any data, so that a flow of them works whatever hypothesis makes of it.
plain_pipes = st.one_of(
    st.sampled_from(["sum", "min", "max"]).map(lambda name: [f"--{name}"]),
    st.sampled_from(["negative", "square", "mean"]).map(lambda name: ["--npfun", name]),
    st.sampled_from(["{}_r", "q{}"]).map(lambda form: ["--rename", form]),
    step("--only", "a", "b"),
    step("--only", ".*"),
    step("--exclude", "c"),
    step("--demote", "a"),
    step("--demote", "b", "b_r"),
    step("--promote", "a"),
    step("--idem"),
    step("--nonempty"),
)
pipes = st.builds(
    lambda words, workers: [*words, *workers],
    plain_pipes, st.sampled_from([[], [], [], ["@workers=2"]]),
)  # fmt: skip
counted_source = st.integers(0, 10**6).map(
    lambda number: ["--from-scratch", "ones", f"s{number}=2", "rate=1e9"]
)


def chains(inner: st.SearchStrategy[list[str]]) -> st.SearchStrategy[list[str]]:
    several = st.lists(inner, max_size=3).map(
        lambda parts: [word for part in parts for word in part]
    )
    chain = several.map(lambda words: ["[", *words, "]"])
    fanout = st.lists(chain, min_size=1, max_size=3).map(
        lambda branches: ["{", *[word for branch in branches for word in branch], "}"]
    )
    return chain | fanout


flows = st.lists(
    st.recursive(st.one_of(pipes, pipes, counted_source), chains, max_leaves=6), max_size=4
).map(lambda parts: [word for part in parts for word in part])


@settings(
    max_examples=25, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(words=flows, window=st.sampled_from([1, 2, 8]))
def test_a_random_flow_gives_the_same_on_the_bus(
    run: Runner, words: list[str], window: int
) -> None:
    line = [*SOURCE, *words, *record("end")]
    note(" ".join(line))
    both = run(line, window=window)
    assert both["bus"]["failed"] == both["process"]["failed"]
    if not both["process"]["failed"]:
        assert both["bus"]["written"] == both["process"]["written"]


@pytest.mark.parametrize(
    "words",
    [
        [*SOURCE, *record("end")],
        [*SOURCE, "{", "--sum", "--min", "--max", "}", *record("end")],
        [*SOURCE, "{", "[", "--sum", "--rename", "{}_s", "]", "[", "]", "}", *record("end")],
        [*SOURCE, "{", *record("one"), "[", "--sum", *record("two"), "]", "}"],
        ["{", "[", *SOURCE, "]", "[", "--from-scratch", "ones", "z=3", "rate=1e9", "]", "}",
         "{", "--sum", "[", "--max", "--rename", "{}_m", "]", "}", *record("end")],
        [*SOURCE, "{", "{", "--sum", "--min", "}", "[", "{", "--max", "[", "]", "}", "--idem", "]",
         "}", *record("end")],
        [*SOURCE, *record("first"), "--from-scratch", "ones", "late", "rate=1e9", *record("end")],
        [*SOURCE, "{", "[", "--npfun", "sum", "@workers=3", "--rename", "{}_s", "@workers=2", "]",
         "--max", "[", "]", "}", "{", "--min", "@workers=2", "[", "]", "}", *record("end")],
        [*SOURCE, "--demote", "a", "{", "[", "--promote", "]", "[", "--sum", "]", "}",
         *record("end")],
    ],
    ids=lambda words: " ".join(words[6:])[:60],
)  # fmt: skip
def test_a_flow_gives_the_same_on_the_bus(run: Runner, words: list[str]) -> None:
    both = run(words)
    assert not both["process"]["failed"]
    assert both["bus"] == both["process"]
    assert both["bus"]["written"]
