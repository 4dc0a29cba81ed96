"""Every benchmark, in paired, interleaved runs: a table, JSON, and a chart under `results/`."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[1]
# What is measured is this tree, whatever is installed.
sys.path[:0] = [str(ROOT / name) for name in (".", "broker", "actors", "launch")]

from benchmarks import chart, machine, peers, scans, table, works  # noqa: E402
from benchmarks.measure import FULL, QUICK, SMOKE, Budget, Result, Work, compare  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RESULTS = Path(__file__).with_name("results")


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print, and write down; return 0."""
    options = _options(words)
    budget = SMOKE if options.smoke else FULL if options.full else QUICK
    chosen = _chosen(options.only, budget)
    # Whoever ends it ends what it has started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    peers.excluded.update(peer.name for peer in peers.ALL if options.peers == "none")
    if not options.only:
        peers.install_all()
    begin, before = time.monotonic(), machine.describe()
    print(machine.line(before), flush=True)
    results = _results(chosen, budget)
    found = scans.all_scans(budget) if options.full or "scans" in options.only else []
    lines = [row for result in results for row in table.rows(result)]
    text = f"{table.markdown(lines)}\n{_footnotes(results)}" if results else ""
    print(f"\n{text}\nIn {time.monotonic() - begin:.0f} s.")
    content = {
        "machine": before,
        "peers": peers.describe(),
        "budget": vars(budget),
        "results": [table.plain(result) for result in results],
        "scans": [vars(scan) for scan in found],
    }
    write(options.results, content, f"{machine.line(before)}\n\n{text}")
    chart.draw(options.results, lines, found)
    return 0


def _results(chosen: Sequence[Work], budget: Budget) -> list[Result]:
    """Measure one work after the other; Ctrl-C leaves what there is by then."""
    results: list[Result] = []
    try:
        for work in chosen:
            print(f"\n{work.key}: {work.title}", flush=True)
            results.append(compare(work, budget, _say))
    except KeyboardInterrupt:
        print("stopped: the rest is not measured", flush=True)
    return results


def _say(text: str) -> None:
    print(f"    {text}", flush=True)


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("--full", action="store_true", help="all runs, and the scans: half an hour")
    parser.add_argument("--smoke", action="store_true", help="all once and tiny: does it run?")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="WORK", help="these works: readme small ... scans"
    )
    parser.add_argument("--peers", choices=("all", "none"), default="all", help="none: no installs")
    parser.add_argument("--results", type=Path, default=RESULTS, help="a folder")
    return parser.parse_args(words)


def _chosen(keys: Sequence[str], budget: Budget) -> list[Work]:
    """Return the works that are asked for; all of them if none is named."""
    known = {work.key: work for work in works.all_works(budget)}
    if unknown := [key for key in keys if key not in {*known, "scans"}]:
        raise SystemExit(f"no such work: {' '.join(unknown)}; there are {' '.join(known)} scans")
    return [work for key, work in known.items() if not keys or key in keys]


def _footnotes(results: Sequence[Result]) -> str:
    """Return the processor time of one unit of work, which noise moves least; and the peers."""
    lines = []
    for result in results:
        known = {name: result.cpu_us(name) for name in result.figures}
        texts = [f"{name} {table.short(cpu)}" for name, cpu in known.items() if cpu]
        if texts:
            lines.append(f"* {result.work.key}: {', '.join(texts)}")
    peer = [f"* {name}: {what}" for name, what in peers.describe().items()]
    head = "Processor time of all processes for one row, message or frame, in us:"
    return "\n".join([head, "", *lines, "", "Peers:", "", *peer]) + "\n"


def write(folder: Path, content: Mapping[str, object], text: str) -> None:
    """Write `latest.json` and `latest.md`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "latest.json").write_text(json.dumps(content, indent=2) + "\n")
    (folder / "latest.md").write_text(text)


if __name__ == "__main__":
    sys.exit(main())
