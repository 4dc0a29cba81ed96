"""What a user can observe of a loop: the order of effects, and the moment a value is of."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.servers.ioc import ca_env, caget, camonitor, full, until

if TYPE_CHECKING:
    from collections.abc import Iterator

CASPY = Path(sys.executable).with_name("caspy")
ROUNDS, BEFORE = 1000, 100
DEADLINE_S = 90.0


@pytest.fixture
def env() -> Iterator[dict[str, str]]:
    with ca_env() as ca:
        yield {**full(ca), "XDG_RUNTIME_DIR": os.environ["XDG_RUNTIME_DIR"]}


def test_the_busy_mark_is_never_out_of_order(env: dict[str, str]) -> None:
    """Mark 1, data, 0, 1, data, 0 ... at full speed, as a C client sees it arrive."""
    line = """--from-scratch random iffy=1 jedda=2048 rate=1e9 --to-ioc prefix=EXAMPLE:
              --from-ioc prefix=EXAMPLE: mark=mark --from-scratch zeros idle rate=1e9
              --to-epics idle=EXAMPLE:mark --from-scratch ones busy rate=1e9
              --to-epics busy=EXAMPLE:mark"""
    process = subprocess.Popen([CASPY, *line.split()], env=env)
    try:
        caget(env, "EXAMPLE:iffy")
        with camonitor(env, "EXAMPLE:iffy", "EXAMPLE:mark") as monitor:
            until(lambda: len(monitor.lines()) > 3 * ROUNDS + BEFORE, "rounds", DEADLINE_S)
            lines = monitor.lines()
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_S) == 0
    seen = []
    for text in lines:
        name, _, _, value = text.split()[:4]
        seen.append("data" if name.endswith("iffy") else value)
    # The client comes in the middle of a round, and is told both values at first, perhaps one of
    # the two for some rounds before the other.
    known = max(seen.index("data"), next(n for n, one in enumerate(seen) if one != "data"))
    begin = next(n for n in range(2, len(seen)) if seen[n : n + 3] == ["1", "data", "0"])
    rounds = seen[begin : begin + 3 * ROUNDS]
    assert begin - known < 7
    assert rounds == ["1", "data", "0"] * ROUNDS


@pytest.mark.timeout(300)
def test_nothing_is_missing_and_nothing_overtakes(tmp_path: Path) -> None:
    """100 000 iterations through a fanout and a join, gapless and in order."""
    count = 100_000
    line = f"""-count {count} --from-scratch counter n=1 rate=1e9
               {{ [ --npfun sum --rename s ] [ ] }} --to-summary mode=table path={tmp_path}/seen"""
    done = subprocess.run([CASPY, *line.split()], timeout=300, check=False)
    assert done.returncode == 0
    with (tmp_path / "seen").open() as seen:
        assert next(seen) == "# s\tn\n"
        for number in range(count):
            assert next(seen) == f"{number}.0\t[{number}.]\n"
        assert not seen.read()
