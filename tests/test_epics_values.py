"""A real IOC -> caspy -> caspy's own IOC -> real clients: what comes out is what went in."""

from __future__ import annotations

import re
import signal
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import h5py
import numpy as np
import pytest

from tests.epics_values import DB, LONG_TEXT, PREFIX, ROWS, Row
from tests.launch.test_supervisor import rest, start
from tests.servers import ioc

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

#: What is padded with zeros by one server and not by the other.
_ROOM = re.compile(r"Element count|Value: ")
#: As they stand in a row of the table.
LIMITS = [(name, side) for name in ("disp", "ctrl", "alarm", "warning")
          for side in ("lower", "upper")]  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Serve the records of the table under `TEST:`, and again by caspy under `OUT:`."""
    folder = tmp_path_factory.mktemp("values")
    with ioc.ca_env() as theirs, ioc.ca_env(int(theirs["EPICS_CAS_SERVER_PORT"])) as env:
        softioc = ioc.SoftIoc(theirs, DB, folder)
        softioc.start()
        process = start(
            "--from-epics", *(f"{row.tag}={PREFIX}{row.tag}" for row in ROWS),
            "--to-ioc", "prefix=OUT:",
            *(f"{row.tag}={row.declared}" for row in ROWS if row.declared),
            env=ioc.full(env), cwd=folder,
        )  # fmt: skip
        try:
            ioc.caget(env, *(f"OUT:{row.tag}" for row in ROWS))
            empty = ["caget", "-a", "OUT:empty"]
            ioc.until(lambda: "UDF" not in ioc.tool(env, *empty).stdout, "the first iteration")
            yield env
        finally:
            process.send_signal(signal.SIGINT)
            out, err = rest(process)
            softioc.kill()
        assert (process.returncode, out, err) == (0, "", "")


class Seen(NamedTuple):
    """What real clients say of all PVs, by name."""

    kinds: dict[str, str]
    values: dict[str, str]
    exact: dict[str, list[str]]
    described: dict[str, list[str]]


@pytest.fixture(scope="module")
def seen(served: dict[str, str]) -> Seen:
    """Ask for everything at once: to start a client takes longer than all it does."""
    texts, others = (
        [row for row in ROWS if (row.kind == "DBF_CHAR") is it] for it in (True, False)
    )
    values: dict[str, str] = {}
    exact: dict[str, list[str]] = {}
    for rows, how in ((texts, "-S"), (others, "-c")):
        several = [name for _, name in names(rows)]
        lines = ioc.caget(served, "-a", "-g17", how, *several).splitlines()
        exact |= {line.split()[0]: line.split()[1:] for line in lines}
        shown = ioc.tool(served, "caget", "-t", how, *several).stdout.splitlines()
        values |= dict(zip(several, shown, strict=True))
    kinds = ioc.tool(served, "cainfo", *(name for _, name in names(ROWS))).stdout
    described: dict[str, list[str]] = {}
    for kind in {row.kind for row in ROWS}:
        several = [name for row, name in names(ROWS) if row.kind == kind]
        form = kind.replace("DBF", "DBR_CTRL")
        described |= blocks(ioc.caget(served, "-d", form, *several))
    types = {name: next(line for line in lines if "Native" in line).split()[-1]
             for name, lines in blocks(kinds).items()}  # fmt: skip
    return Seen(types, values, exact, described)


def names(rows: Iterable[Row]) -> list[tuple[Row, str]]:
    return [(row, f"{prefix}{row.tag}") for row in rows for prefix in (PREFIX, "OUT:")]


def blocks(text: str) -> dict[str, list[str]]:
    """Return the indented lines behind each name."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line[:1].strip():
            name = line.strip()
            found[name] = []
        elif line.strip():
            found[name].append(line)
    return found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.tag)
def test_as_it_went_in(seen: Seen, row: Row) -> None:
    theirs, ours = f"{PREFIX}{row.tag}", f"OUT:{row.tag}"
    assert (seen.kinds[theirs], seen.kinds[ours]) == (row.kind, row.kind)
    assert (seen.values[theirs], seen.values[ours]) == (row.shown, row.shown)
    # To the last bit, with status and severity.
    assert seen.exact[ours][2:] == seen.exact[theirs][2:]
    moments = [datetime.fromisoformat(" ".join(seen.exact[one][:2])) for one in (theirs, ours)]
    assert abs(moments[1] - moments[0]) <= timedelta(microseconds=1)
    values = [said(seen.described[one], "Value:").rstrip(" 0") for one in (theirs, ours)]
    assert values[1] == values[0], "apart from zeros behind it, as far as there is room"
    described = [plain(seen.described[one]) for one in (theirs, ours)]
    assert described[1] == described[0]
    assert [line.split()[-1] for line in seen.described[ours] if "] " in line] == list(row.labels)


def said(lines: list[str], what: str) -> str:
    return next(line.partition(what)[2].strip() for line in lines if what in line)


def plain(lines: list[str]) -> list[str]:
    """Leave out what is a matter of the server: the room for values, limits that nobody has set."""
    unset = re.compile(r"(limit: +)(nan|-?2147483648)$")
    return [unset.sub(r"\g<1>0", line) for line in lines if not _ROOM.search(line)]


#: What has to be in a file, as numpy sees it.
STORED: dict[str, Any] = {
    "limits": 12.5, "double": -1.7976931348623157e308, "tiny": 2.2250738585072014e-308,
    "nan": np.nan, "inf": -np.inf, "float": np.float32(0.1), "long": np.int32(2147483647),
    "least": np.int32(-2147483648), "short": np.int16(-32768), "text": "ok",
    "longtext": LONG_TEXT, "string": "blue °C", "nostring": "", "states": 2, "bit": 1,
    "doubles": np.array([1.5, -2.5e300, 3.0]), "floats": np.array([1.5, 0.1], np.float32),
    "longs": np.array([1, -2147483648, 2147483647], np.int32),
    "shorts": np.array([32767, -32768], np.int16), "strings": ["one", "two three"],
    "empty": np.zeros(0),
}  # fmt: skip


def test_a_file_has_what_the_records_had(
    served: dict[str, str], seen: Seen, tmp_path: Path
) -> None:
    pvs = [f"{row.tag}={PREFIX}{row.tag}" for row in ROWS]
    process = start(
        "-count", "1", "--from-epics", *pvs, "--to-hdf5", "v.h5#{tag}", "stamp=1",
        env=ioc.full(served), cwd=tmp_path,
    )  # fmt: skip
    out, err = rest(process)
    assert (process.returncode, out, err) == (0, "", "")
    with h5py.File(tmp_path / "v.h5") as file:
        for row in ROWS:
            dataset = file[row.tag]
            value, expected = dataset[0], STORED[row.tag]
            if isinstance(expected, str):
                assert value.decode() == expected, row.tag
            elif isinstance(expected, list):
                assert [one.decode() for one in value] == expected, row.tag
            else:
                assert np.array_equal(value, expected, equal_nan=True), row.tag
                if row.kind != "DBF_ENUM":
                    assert dataset.dtype == np.asarray(expected).dtype, row.tag
            units = re.search(r"EGU=([^;]*)", row.record)
            assert dataset.attrs.get("units", "") == (units[1] if units else ""), row.tag
            assert tuple(dataset.attrs.get("enum_strings", ())) == row.labels, row.tag
            if row.limits:
                kept = [dataset.attrs.get(f"{side}_{name}_limit", 0) for name, side in LIMITS]
                assert tuple(kept) == row.limits, row.tag
            taken = file[f"{row.tag}_timestamp"][0]
            date, clock = seen.exact[f"{PREFIX}{row.tag}"][:2]
            assert abs(taken - datetime.fromisoformat(f"{date}T{clock}").timestamp()) < 1e-5
        assert file["limits_severity"][0] == 1
