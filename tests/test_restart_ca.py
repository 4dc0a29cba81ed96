"""The Channel Access server of a run is killed: clients find a new one, with what they wrote."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.chaos import titles
from tests.launch.test_supervisor import rest, start
from tests.servers import ioc

if TYPE_CHECKING:
    from pathlib import Path

ca = ioc.ca


def test_a_killed_ca_server_comes_back_with_its_pvs(ca: dict[str, str]) -> None:
    process = start(
        "--from-ioc", "go=go(1)", "other=other(7)", "prefix=K:", "hang=1",
        "--to-ioc", "prefix=OUT:", env=ioc.full(ca),
    )  # fmt: skip
    try:
        ioc.until(lambda: ioc.caput(ca, "K:go", "5").returncode == 0, "the server")
        ioc.until(lambda: "5" in ioc.caget(ca, "-t", "OUT:go"), "the first value")
        titles(process)["ca"].kill()
        ioc.until(lambda: ioc.caget(ca, "-t", "K:other").strip() == "7", "a new server")
        assert float(ioc.caget(ca, "-t", "K:go")) == 5.0, "what a client had written is kept"
        assert float(ioc.caget(ca, "-t", "OUT:go")) == 5.0, "what was published is kept"
        assert ioc.caput(ca, "K:go", "6").returncode == 0
        ioc.until(lambda: float(ioc.caget(ca, "-t", "OUT:go")) == 6.0, "the next iteration")
    finally:
        process.send_signal(signal.SIGINT)
        _, err = rest(process)
    assert process.returncode == 0, err
    assert 'msg="killed by SIGKILL, is started again" helper=ca' in err


AIOCA = """
import asyncio, sys
import aioca

async def main():
    done = []
    for number in range(int(sys.argv[1]), int(sys.argv[2])):
        await aioca.caput("K:n", number, wait=True, timeout=30)
        print(number, flush=True)

asyncio.run(main())
aioca.purge_channel_caches()
"""


def test_a_killed_source_works_on_each_write_once_and_answers_it(
    ca: dict[str, str], tmp_path: Path
) -> None:
    """One client waits for the end of each iteration, and has no answer too early or never."""
    seen = tmp_path / "seen"
    process = start(
        "--from-ioc", "n=n(-1)", "prefix=K:", "every=1", "complete=1", "suppress=initial",
        "--npfun", "add", "0", "--to-summary", f"path={seen}", env=ioc.full(ca),
    )  # fmt: skip
    try:
        ioc.caget(ca, "K:n")
        client = subprocess.Popen(
            [sys.executable, "-c", AIOCA, "0", "60"], env=ioc.full(ca),
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        with client:
            assert client.stdout is not None
            for number, line in enumerate(client.stdout):
                assert int(line) == number
                assert f"n: {number}\n" in seen.read_text(), "it has been answered too early"
                if number == 20:
                    titles(process)["ioc.1"].kill()
        assert client.returncode == 0
        titles(process)["ioc.1"].suspend()  # now nobody takes what is written
        for number in range(60, 65):
            assert ioc.tool(ca, "caput", "K:n", str(number)).returncode == 0
        titles(process)["ioc.1"].kill()
        ioc.until(lambda: "n: 64\n" in seen.read_text(), "what was held meanwhile")
    finally:
        process.send_signal(signal.SIGINT)
        _, err = rest(process)
    assert process.returncode == 0, err
    assert err.count('msg="killed by SIGKILL, is started again"') == 2
    assert seen.read_text().splitlines() == [f"n: {number}" for number in range(65)]
