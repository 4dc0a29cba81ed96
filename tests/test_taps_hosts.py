"""Listening to actors of other hosts, which are agents here: real processes, really killed."""

from __future__ import annotations

import contextlib
import shlex
import signal
from typing import TYPE_CHECKING

import psutil
import pytest

from camagick_broker.address import runtime_dir
from camagick_broker.inquiry import Inquiry
from tests.buses import Run, card_of, wait_for
from tests.launch.test_agents import TWO, processes
from tests.test_taps import assert_whole, counts, end_together, grows, is_tapped, listening, numbers

if TYPE_CHECKING:
    from pathlib import Path

    from camagick_broker.running import Card

#: 160 kB a message.
SOURCE = "--from-scratch counter n=20000 rate=200 @a"


@pytest.fixture
def hosts(tmp_path: Path) -> str:
    path = tmp_path / "hosts.toml"
    path.write_text(TWO)
    return str(path)


def far(hosts: str, path: Path, line: str = SOURCE, *options: str) -> Run:
    """Return a run whose source is elsewhere, whose pipe is on a third host, and its sink here."""
    return Run(
        "-bus", "b", "-hosts", hosts, *options, *shlex.split(line), "--npfun", "max", "@b",
        "--rename", "{}_v", "@local", "--to-summary", f"path={path}",
    )  # fmt: skip


def sockets(card: Card) -> list[str]:
    """Return where an actor can be tapped: here, and on other hosts."""
    folders = [card.folder, *runtime_dir().glob(f"{card.bus}.*")]
    return [path.name for folder in folders for path in folder.glob("*.t")]


def figures(card: Card) -> int:
    """Return how many iterations the first actor has made, as far as the broker knows."""
    with Inquiry(card.run, card.folder) as inquiry:
        return int((inquiry.status(5.0) or {})["statistics"][1]["seq"])


@pytest.mark.parametrize("actor", ["scratch", "npfun"])
def test_a_listener_comes_and_goes(hosts: str, actor: str, tmp_path: Path) -> None:
    with far(hosts, tmp_path / "run") as run:
        card = card_of("b")
        grows(tmp_path / "run", 5)
        assert not sockets(card)
        number = 1 if actor == "scratch" else 2
        with listening(tmp_path / "seen", actor, "rate=all", "-count", "100") as tap:
            wait_for(lambda: sockets(card) == [f"{number}.t"] * 2, "a socket at both ends")
            assert tap.wait() == 0, tap.log
            said, seen = counts(tap.log), numbers(tmp_path / "seen")
        assert (said["received"], said["skipped"], said["repeated"]) == (100, 0, 0)
        assert seen == sorted(set(seen))
        assert said["received"] + said["missed"] >= seen[-1] - seen[0] + 1
        wait_for(lambda: not sockets(card), "both to be closed")
        grows(tmp_path / "run", 10)
        run.interrupt()
        assert run.wait() == 0
    assert_whole(tmp_path / "run")


def test_it_ends_with_the_tapped_run_and_counts_to_its_end(hosts: str, tmp_path: Path) -> None:
    with far(hosts, tmp_path / "run", SOURCE, "-count", "800") as run:
        card_of("b")
        with listening(tmp_path / "seen", "1", "rate=50") as tap:
            assert (tap.wait(), run.wait()) == (0, 0), tap.log
            seen, said = numbers(tmp_path / "seen"), counts(tap.log)
    assert said["received"] == len(seen)
    assert said["received"] + said["missed"] + said["skipped"] == 800 - seen[0]
    assert said["skipped"] > said["received"]
    assert_whole(tmp_path / "run")


def test_large_images_come_whole(hosts: str, tmp_path: Path) -> None:
    """Of 4 MB, in many pieces; those of two actors at once."""
    words = shlex.split("{ [ --npfun max --rename a ] [ --npfun min --rename z ] }")
    line = "--from-scratch counter n=500000 rate=20 @a --rename m @a"
    with far(hosts, tmp_path / "run", line) as run:
        card_of("b")
        taps = [
            Run("--from-tap", f"b/{actor}", "rate=all", *words, "-count", "40",
                "--to-summary", "mode=table")
            for actor in (1, 2)
        ]  # fmt: skip
        with taps[0], taps[1]:
            for tap in taps:
                assert tap.wait() == 0, tap.log
                rows = [row.split() for row in tap.out.splitlines() if not row.startswith("#")]
                assert len(rows) == 40
                assert all(high == low for high, low in rows)
                said, values = counts(tap.log), [int(float(row[0])) for row in rows]
                assert said["received"] + said["missed"] >= values[-1] - values[0] + 1
        run.interrupt()
        assert run.wait() == 0
    assert_whole(tmp_path / "run")


def test_several_listeners_each_at_its_own_rate(hosts: str, tmp_path: Path) -> None:
    with far(hosts, tmp_path / "run") as run:
        card_of("b")
        with (
            listening(tmp_path / "all", "1", "rate=all") as one,
            listening(tmp_path / "some", "1", "rate=20") as two,
            listening(tmp_path / "here", "rename", "rate=all") as three,
        ):
            end_together(run, tmp_path, {"all": one, "some": two, "here": three})
            made = len(numbers(tmp_path / "run"))
            for tap, name in ((one, "all"), (two, "some"), (three, "here")):
                said, seen = counts(tap.log), numbers(tmp_path / name)
                assert seen == sorted(set(seen))
                total = said["received"] + said["missed"] + said["skipped"]
                assert total == made - seen[0], name
            assert counts(one.log)["skipped"] == 0
            assert counts(two.log)["skipped"] > 50
    assert_whole(tmp_path / "run")


def test_a_stopped_listener_changes_nothing(hosts: str, tmp_path: Path) -> None:
    """Nor does what it is not told of get lost silently; nobody is taken for dead."""
    line = SOURCE.replace("20000", "200000")  # 320 MB/s, if all were told
    with far(hosts, tmp_path / "run", line, "-patience", "4") as run:
        card = card_of("b")
        with listening(tmp_path / "seen", "1", "rate=all") as tap:
            grows(tmp_path / "seen", 20)
            ear = tap.actor("tap.1")
            ear.send_signal(signal.SIGSTOP)
            grows(tmp_path / "run", 500)
            before = figures(card)  # control is as quick as ever
            wait_for(lambda: figures(card) > before + 300, "figures of the tapped actor")
            ear.send_signal(signal.SIGCONT)
            grows(tmp_path / "seen", 20)
            run.interrupt()
            assert (run.wait(), tap.wait()) == (0, 0), run.log + tap.log
            said, seen = counts(tap.log), numbers(tmp_path / "seen")
        assert "lost" not in run.log
    assert seen == sorted(set(seen))
    made = len(numbers(tmp_path / "run"))
    assert said["missed"] == made - seen[0] - len(seen) > 100
    assert_whole(tmp_path / "run")


def test_a_killed_actor_is_heard_again(hosts: str, tmp_path: Path) -> None:
    with far(hosts, tmp_path / "run", SOURCE, "-restart", "20") as run:
        card_of("b")
        with listening(tmp_path / "seen", "1", "rate=all") as tap:
            grows(tmp_path / "seen", 20)
            for _ in range(2):
                processes(run, "/scratch.1")[-1].kill()
                grows(tmp_path / "seen", 150)  # more than may be on their way
            run.interrupt()
            assert (run.wait(), tap.wait()) == (0, 0), tap.log
            said, seen = counts(tap.log), numbers(tmp_path / "seen")
    assert seen == sorted(set(seen))
    assert said["received"] + said["missed"] == len(numbers(tmp_path / "run")) - seen[0]
    assert_whole(tmp_path / "run")


@pytest.mark.parametrize("what", ["/@b", "/gate"])
def test_a_host_that_is_lost_and_found_is_heard_again(
    hosts: str, what: str, tmp_path: Path
) -> None:
    """By another link and another agent; the socket of the one before is not in its way."""
    line = "--from-scratch counter n=2000 rate=200 @local"
    with far(hosts, tmp_path / "run", line) as run:
        card = card_of("b")
        with listening(tmp_path / "seen", "npfun", "rate=all") as tap:
            grows(tmp_path / "seen", 20)
            process = wait_for(lambda: processes(run, what), what)[-1]
            process.kill()
            with contextlib.suppress(psutil.NoSuchProcess):
                process.wait(10)
            wait_for(lambda: "are started again" in run.log, "the loss to be noticed")
            assert is_tapped(card, 2) == (what == "/@b")  # it could not remove it itself
            grows(tmp_path / "seen", 200)  # more than may be on their way
            run.interrupt()
            assert (run.wait(), tap.wait()) == (0, 0), tap.log
            seen = numbers(tmp_path / "seen")
    assert not card.folder.exists()
    assert seen == sorted(set(seen))
    assert_whole(tmp_path / "run")
