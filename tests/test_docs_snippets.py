"""Every command, script and recipe that the documentation shows does what it shows."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.docs_runner import (
    LANGUAGES,
    ROOT,
    Running,
    Shell,
    blocks,
    documents,
    environment,
    until_there,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

DOCUMENTS = [str(path.relative_to(ROOT)) for path in documents()]


class Site(NamedTuple):
    """A running ad-hoc IOC: the variables to reach it, and the ports in place of those shown."""

    env: Mapping[str, str]
    ports: Mapping[str, str]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("ioc")
    recipe = (ROOT / "examples/ad-hoc.spy").read_text()
    # Ten times as fast as the example: the documents wait for many of its values.
    faster, count = re.subn(r"Hz: *1(\.0)?", "Hz: 10.0", recipe)
    assert count == 1
    (folder / "ad-hoc.spy").write_text(faster)
    with environment(folder / "bin") as (env, ports):
        ioc = Running("caspy -yaml ad-hoc.spy", folder, env)
        try:
            until_there("EXAMPLE:mark", env)
            yield Site(env, ports)
            ioc.deadline += 3600
            ioc.interrupt()
            assert ioc.wait() == 0
        finally:
            ioc.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_tells_the_truth(name: str, site: Site, tmp_path: Path) -> None:
    shell = Shell(tmp_path, site.env, site.ports)
    found = blocks(ROOT / name)
    for block, behind in itertools.zip_longest(found, found[1:]):
        if block.language in LANGUAGES and not block.skipped:
            try:
                shell.block(block, behind)
            except AssertionError as error:
                pytest.fail(f"{block.place}: {error}", pytrace=False)


def test_few_blocks_are_left_out() -> None:
    every = [block for path in documents() for block in blocks(path)]
    left_out = [block for block in every if block.skipped]
    assert len(left_out) <= 0.2 * len(every), [block.place for block in left_out]
    odd = [block.place for block in every if block.language not in (*LANGUAGES, "text")]
    assert not odd, f"neither run nor plain text: {odd}"


def test_links_lead_somewhere() -> None:
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in documents()
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text())
        if "://" not in target and not (path.parent / target).exists()
    ]
    assert not broken
