"""Every test that the documentation names is there, and every row of its table has one."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from tests.docs_runner import ROOT

if TYPE_CHECKING:
    from pathlib import Path

TESTS = ROOT / "tests"
#: ``tests/a/test_b.py::test_c``, or only its file; in a row also ``test_c`` alone.
NAMED = re.compile(r"(?:tests/)?((?:\w+/)*(?:test_)?\w+\.py)(?:::(\w+))?")
PAGES = ["docs/document-tests.md", "docs/reliability.md"]


def names(path: Path) -> set[str]:
    """Return the functions at the top of a file."""
    return {node.name for node in ast.parse(path.read_text()).body if hasattr(node, "name")}


def quoted(text: str) -> list[str]:
    """Return what stands between backquotes of one line."""
    return re.findall(r"`([^`\n]+)`", text)


@pytest.mark.parametrize("page", PAGES)
def test_each_test_that_a_page_names_is_there(page: str) -> None:
    everything = {name for path in TESTS.rglob("test_*.py") for name in names(path)}
    found = 0
    for text in quoted((ROOT / page).read_text()):
        if match := NAMED.fullmatch(text):
            path = TESTS / match[1]
            assert path.is_file(), f"{page}: there is no {text}"
            assert not match[2] or match[2] in names(path), f"{page}: there is no {text}"
            found += 1
        elif re.fullmatch(r"test_\w+", text):
            assert text in everything, f"{page}: there is no {text}"
            found += 1
    assert found > 10


def test_each_row_of_the_document_has_a_test() -> None:
    text = (ROOT / PAGES[0]).read_text().partition("## Not run")[0]
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    bodies = [line for line in rows if not line.endswith("| test |")]
    assert len(bodies) > 30
    for line in bodies:
        said = line.rstrip(" |").rpartition(" | ")[2]
        has_one = any("test_" in one for one in quoted(said))
        assert has_one or said.startswith(("printed", "the same")), line
