"""The Channel Access server of a run is killed: clients find a new one, with what they wrote."""

from __future__ import annotations

import signal

from tests.chaos import titles
from tests.launch.test_supervisor import rest, start
from tests.servers import ioc

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
