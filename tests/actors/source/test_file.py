"""from-file reads a file, follows it, and begins again where it became another."""

from __future__ import annotations

import asyncio

import pytest

from camagick.errors import BadOption, CamagickError
from camagick.source.file import Processor as FileSource
from tests.streams import collect


def test_a_file_is_read_to_its_end(tmp_path):
    (tmp_path / "x").write_text("1 2\n3 4\n5 6")
    for source in (FileSource(str(tmp_path / "x"), "a", "b"),
                   FileSource("a", "b", file=str(tmp_path / "x"))):  # fmt: skip
        assert collect(source) == [{"a": 1, "b": 2}, {"a": 3, "b": 4}, {"a": 5, "b": 6}]


def test_a_file_is_followed(tmp_path, caplog):
    path = tmp_path / "x"
    path.write_text("1\n2\n")

    async def follow() -> list[float]:
        source = FileSource(str(path), "x", follow=True)
        await source.startup()
        found = [await values(source), await values(source)]
        with path.open("a") as file:
            file.write("3\n4")  # and no end of the line
        found.append(await values(source))
        waits = asyncio.ensure_future(values(source))
        await asyncio.sleep(0)
        assert not waits.done()
        with path.open("a") as file:
            file.write("5\n")
        found.append(await waits)
        path.write_text("6\n")  # shorter than it was
        found.append(await values(source))
        (tmp_path / "y").write_text("7\n8\n" * 20)
        (tmp_path / "y").replace(path)
        found.append(await values(source))
        await source.shutdown()
        return found

    async def values(source: FileSource) -> float:
        return float((await asyncio.wait_for(source(), 10))["x"])

    assert asyncio.run(follow()) == [1, 2, 3, 45, 6, 7]
    assert caplog.text.count("begun again") == 2


def test_a_successor_reads_on(tmp_path):
    path = tmp_path / "x"
    path.write_text("# a\n1\n2\n3\n")

    async def both() -> None:
        first, second = (FileSource(str(path), header=True) for _ in range(2))
        await first.startup()
        await first()
        known = first.remember()
        await first.shutdown()
        await second.startup()
        second.recall([known])
        assert dict(await second()) == {"a": 2.0}
        assert second.remember()["count"] == 3
        await second.shutdown()

    asyncio.run(both())


@pytest.mark.parametrize(("name", "text"), [("nope", "No such file"), (".", "Is a directory")])
def test_what_cannot_be_read(tmp_path, name, text):
    with pytest.raises(CamagickError, match=f"cannot read .*{name}: {text}"):
        collect(FileSource(str(tmp_path / name), "x"))


@pytest.mark.parametrize(
    ("words", "options", "text"), [((), {}, "name a file"), (("x", "a"), {"follow": 3}, "follow=3")]
)
def test_bad_options(words, options, text):
    with pytest.raises(BadOption, match=text):
        FileSource(*words, **options)
