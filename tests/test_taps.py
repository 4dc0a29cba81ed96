"""Listening to a running bus, with real processes: it may lose, it may never hurt."""

from __future__ import annotations

import json
import re
import signal
from typing import TYPE_CHECKING

import pytest

from tests.buses import Run, card_of, caspy, clear, wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from camagick_broker.running import Card

#: 160 kB a message: few of them fill what lies between the two ends of a tap.
SOURCE = ["--from-scratch", "counter", "n=20000", "rate=400"]


def numbers(path: Path) -> list[int]:
    """Return what a summary has written, one number a line; whole lines only."""
    text = path.read_text() if path.exists() else ""
    return [int(float(line.split()[1])) for line in text.splitlines(True) if line.endswith("\n")]


def tapped(path: Path, *words: str, count: int | None = None) -> Run:
    """Return a run that may be tapped; its iterations are in a file."""
    ends = [] if count is None else ["-count", str(count)]
    return Run(
        "-bus", "b", *SOURCE, "--npfun", "max", *words, "--to-summary", f"path={path}", *ends
    )


def listening(path: Path, actor: str = "1", *options: str) -> Run:
    return Run(
        "--from-tap", f"b/{actor}", *options, "--npfun", "max", "--to-summary", f"path={path}"
    )


def counts(log: str) -> dict[str, int]:
    """Return what a tap says at its end."""
    (line,) = [line for line in log.splitlines() if "left the tap" in line]
    return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", line)}


def is_tapped(card: Card, number: int) -> bool:
    return (card.folder / f"{number}.t").exists()


def grows(path: Path, by: int) -> None:
    """Wait until so many more iterations have been written."""
    aim = len(numbers(path)) + by
    wait_for(lambda: len(numbers(path)) >= aim, f"{by} more iterations in {path.name}")


def end_together(run: Run, folder: Path, taps: Mapping[str, Run]) -> None:
    """Interrupt a run when each tap has written 10 rows more to its file; all have to end well."""
    for name in taps:
        grows(folder / name, 10)
    run.interrupt()
    everybody = [*taps.values(), run]
    ends = [one.wait() for one in everybody]
    assert ends == [0] * len(everybody), "\n".join(one.log for one in everybody)


def assert_whole(path: Path) -> None:
    """Nothing is lost in the tapped pipe."""
    found = numbers(path)
    assert found == list(range(len(found)))


@pytest.mark.parametrize("actor", ["1", "npfun.2", "npfun"])
def test_a_listener_comes_and_goes(actor: str, tmp_path: Path) -> None:
    with tapped(tmp_path / "run") as run:
        card = card_of("b")
        number = 1 if actor == "1" else 2
        assert not is_tapped(card, number)
        done = caspy("--from-tap", f"b/{actor}", "rate=all", "--npfun", "max", "--to-summary",
                     "-count", "5")  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        found = [float(line.split()[1]) for line in done.stdout.splitlines()]
        assert found == [found[0] + n for n in range(5)]
        assert run.running
        wait_for(lambda: not is_tapped(card, number), "the tap to be closed")
        grows(tmp_path / "run", 10)
        run.interrupt()
        assert run.wait() == 0
    assert_whole(tmp_path / "run")


def test_no_socket_before_somebody_listens(tmp_path: Path) -> None:
    with tapped(tmp_path / "run"):
        card = card_of("b")
        grows(tmp_path / "run", 20)
        assert not [path for path in card.folder.iterdir() if path.suffix == ".t"]
        caspy("-stop", "b")


def test_it_ends_with_the_tapped_run_and_counts_to_its_end(tmp_path: Path) -> None:
    with tapped(tmp_path / "run", count=800) as run:
        card_of("b")
        with listening(tmp_path / "seen", "1", "rate=50") as tap:
            assert tap.wait() == 0
            assert run.wait() == 0
            seen, said = numbers(tmp_path / "seen"), counts(tap.log)
    assert said["received"] == len(seen)
    assert said["received"] + said["missed"] + said["skipped"] == 800 - seen[0]
    assert said["skipped"] > said["received"]
    assert said["repeated"] == 0
    assert_whole(tmp_path / "run")


def test_what_it_counts_is_in_the_statistics_of_its_run(tmp_path: Path) -> None:
    with tapped(tmp_path / "run", count=1600):
        card_of("b")
        with listening(tmp_path / "seen", "1", "rate=50", "-stats", str(tmp_path / "s")) as tap:
            code = tap.wait()
            assert code == 0, tap.log
            said = counts(tap.log)
    last = json.loads((tmp_path / "s").read_text().splitlines()[-1])
    found = last["actors"]["tap.1"]
    assert {name: found[name] for name in said} == said
    assert found["iterations"] == said["received"] == len(numbers(tmp_path / "seen"))


def test_what_a_stopped_listener_misses_is_counted_exactly(tmp_path: Path) -> None:
    with tapped(tmp_path / "run") as run:
        card_of("b")
        with listening(tmp_path / "seen", "1", "rate=all") as tap:
            grows(tmp_path / "seen", 20)
            ear = tap.actor("tap.1")
            ear.send_signal(signal.SIGSTOP)
            grows(tmp_path / "run", 300)  # the pipeline does not care
            ear.send_signal(signal.SIGCONT)
            grows(tmp_path / "seen", 20)
            run.interrupt()
            assert run.wait() == 0
            assert tap.wait() == 0
            seen, said = numbers(tmp_path / "seen"), counts(tap.log)
            assert "WARNING:camagick.source.tap" in tap.log
    assert seen == sorted(set(seen))
    made = len(numbers(tmp_path / "run"))
    assert said["missed"] == made - seen[0] - len(seen) > 200
    assert (said["received"], said["skipped"]) == (len(seen), 0)
    assert_whole(tmp_path / "run")


def test_latest_hands_on_the_newest_and_counts_the_others(tmp_path: Path) -> None:
    with tapped(tmp_path / "run") as run:
        card_of("b")
        with Run(
            "--from-tap", "b/1", "rate=all", "latest=1", "--npfun", "max", "--pace", "Hz=20",
            "--to-summary", f"path={tmp_path / 'seen'}", "-window", "1",
        ) as tap:  # fmt: skip
            grows(tmp_path / "seen", 10)
            run.interrupt()
            assert (run.wait(), tap.wait()) == (0, 0)
            seen, said = numbers(tmp_path / "seen"), counts(tap.log)
    assert said["received"] == len(seen)
    assert said["missed"] == len(numbers(tmp_path / "run")) - seen[0] - len(seen) > 0
    assert said["skipped"] == 0


def test_several_listeners_each_at_its_own_rate(tmp_path: Path) -> None:
    with tapped(tmp_path / "run") as run:
        card_of("b")
        with (
            listening(tmp_path / "all", "1", "rate=all") as one,
            listening(tmp_path / "some", "1", "rate=20") as two,
            listening(tmp_path / "pipe", "2", "rate=all") as three,
        ):
            end_together(run, tmp_path, {"all": one, "some": two, "pipe": three})
            assert counts(one.log)["skipped"] == 0
            assert counts(two.log)["skipped"] > 0
    for name in ("all", "some", "pipe"):
        seen = numbers(tmp_path / name)
        assert seen == sorted(set(seen))
    assert_whole(tmp_path / "run")


def test_a_killed_listener_is_forgotten(tmp_path: Path) -> None:
    with tapped(tmp_path / "run") as run:
        card = card_of("b")
        with listening(tmp_path / "seen", "1", "rate=all") as tap:
            grows(tmp_path / "seen", 5)
            assert is_tapped(card, 1)
            tap.process.kill()
            assert tap.wait() == -signal.SIGKILL
        clear(f"run{tap.process.pid}")
        wait_for(lambda: not is_tapped(card, 1), "the tap to be closed")
        grows(tmp_path / "run", 20)
        run.interrupt()
        assert run.wait() == 0
    assert_whole(tmp_path / "run")


def test_a_killed_bus_is_an_error(tmp_path: Path) -> None:
    with tapped(tmp_path / "run") as run:
        card_of("b")
        with listening(tmp_path / "seen") as tap:
            grows(tmp_path / "seen", 2)
            run.process.kill()
            assert tap.wait() == 1
            assert "bus b was killed, nothing more comes of its actors" in tap.log
            assert "Traceback" not in tap.log
            assert counts(tap.log)["received"] >= 2
    clear("b")


def test_without_its_broker_a_tap_goes_on(tmp_path: Path) -> None:
    with tapped(tmp_path / "run") as run:
        card_of("b")
        with listening(tmp_path / "seen") as tap:
            grows(tmp_path / "seen", 2)
            run.actor("broker").kill()
            grows(tmp_path / "seen", 60)
            run.interrupt()
            assert run.wait() == 0
            assert tap.wait() == 0


def test_values_attributes_and_context_come_along(tmp_path: Path) -> None:
    with Run(
        "-bus", "b", "--from-scratch", "counter", "n", "image=8,4", "--demote", "n",
        "--to-summary", f"path={tmp_path / 'run'}",
    ):  # fmt: skip
        card_of("b")
        done = caspy(
            "--from-tap", "b/demote", "--rename", "{tag}_{n}", "--to-summary", "-count", "1"
        )
        assert done.stderr == ""
        assert re.match(r"image_\[\d+\.\]: shape=\(8, 4\) <class 'float'>\n", done.stdout)
        caspy("-stop", "b")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ["b/summary"],
            "the last of its pipe, nothing leaves it: tap what goes into it, b/npfun.2",
        ),
        (["b/4"], "bus b has no actor '4': it has scratch.1, npfun.2, summary.3"),
        (["c/1"], "no bus called 'c' is running (running: b)"),
    ],
)
def test_what_cannot_be_tapped(words: list[str], text: str, tmp_path: Path) -> None:
    with tapped(tmp_path / "run"):
        card_of("b")
        done = caspy("--from-tap", *words, "--to-summary")
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert text in line
        caspy("-stop", "b")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["b"], "'b' is not BUS/ACTOR: caspy -ls shows what is running"),
        (["b/1", "rate=fast"], "rate='fast' is neither 'all' nor a number"),
        (["b/1", "rate=0"], "rate=0 is neither 'all' nor a number"),
    ],
)
def test_mistakes(words: list[str], text: str) -> None:
    done = caspy("--from-tap", *words, "--to-summary")
    assert done.returncode == 2
    assert text in done.stderr
    assert "^" in done.stderr
