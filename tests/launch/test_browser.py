"""What a real browser makes of the pages: the lines, the image, the units, the graph of a bus."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from tests.buses import Run, card_of, wait_for
from tests.servers.browser import CHROMIUM, opened
from tests.servers.ioc import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path
    from typing import Any

    from tests.servers.browser import Page

pytest.importorskip("aiohttp")
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]
DEADLINE_S = 90.0

#: A number, a rising line over another tag, and an image whose rows grow from 0 to 31.
PIPE = ["--from-scratch", "linspace", "line=64", "energy=64", "image=32,32", "rate=50",
        "opts=start=0,stop=31", "--own_units:Units"]  # fmt: skip
UNITS = '''"""Gives the tags units."""
from camagick.data import Data
from camagick.processor import ProcessorBase


class Processor(ProcessorBase):
    """Give tags units."""


class Units(ProcessorBase):
    """Give tags units."""

    def process(self, data, context):
        made = data.copy()
        made["n"] = float(self.seq)
        made["image"] = made["image"].reshape(32, 32)
        for tag, unit in {"line": "mV", "image": "counts", "n": "mA"}.items():
            made[tag] = made[tag] + 0.0
            made.describe(tag, {"units": unit, "source": "X:" + tag})
        return made
'''
COLOUR = """(() => {
  const canvas = document.querySelector('[data-tag=%s] canvas');
  const at = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  let found = 0;
  for (let i = 0; i < at.length; i += 4) {
    const off = Math.abs(at[i] - %d) + Math.abs(at[i + 1] - %d) + Math.abs(at[i + 2] - %d);
    if (off < 40 && at[i + 3] > 200) found += 1;
  }
  return found;
})()"""


@pytest.fixture
def units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_units.py").write_text(UNITS)
    old = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{old}")


def look(
    url: str, folder: Path, see: Callable[[Page], Coroutine[Any, Any, None]], width: int = 1100
) -> None:
    async def main() -> None:
        async with asyncio.timeout(DEADLINE_S), opened(url, folder, width) as page:
            await see(page)

    asyncio.run(main())


@pytest.mark.usefixtures("units")
@pytest.mark.parametrize("width", [390, 1100], ids=["phone", "screen"])
def test_the_page_of_a_plot(tmp_path: Path, width: int) -> None:
    async def see(page: Page) -> None:
        await page.until("document.querySelectorAll('.panel').length === 3")
        await page.until("panels.shown > 5")
        kinds = await page.see(
            "Object.fromEntries([...panels.panels].map(([tag, one]) => [tag, one.entry.kind]))"
        )
        assert kinds == {"line": "line", "image": "image", "n": "number"}
        titles = "[...document.querySelectorAll('figcaption')].map((one) => one.textContent)"
        said = " ".join(await page.see(titles))
        assert "line [mV]" in said
        assert "image [counts]" in said
        assert "[mA]" in said
        assert await page.see(COLOUR % ("line", 44, 113, 142)) > 100  # the line
        assert await page.see(COLOUR % ("image", 68, 1, 84)) > 100  # the dark end of viridis
        assert await page.see(COLOUR % ("image", 253, 231, 37)) > 100  # the bright one
        assert await page.see("panels.panels.get('line').x.length") == 64
        bright = await page.see(COLOUR % ("image", 253, 231, 37))
        await page.see("panels.panels.get('image').buttons.log.click()")
        await page.until(f"{COLOUR % ('image', 253, 231, 37)} > {1.5 * bright}")
        # Nothing sticks out to the right; what is there can be reached by a thumb.
        assert await page.see("document.documentElement.scrollWidth") <= width
        await page.see("document.getElementById('pause').click()")
        shown = await page.see("panels.shown")
        await asyncio.sleep(0.3)
        assert await page.see("panels.shown") == shown
        assert len(await page.picture()) > 5000

    with free_port() as port, Run("-bus", "drawn", *PIPE, "--to-plot", f"web={port}", "x=energy",
                                  "image=equal") as run:  # fmt: skip
        card_of("drawn")
        look(f"http://127.0.0.1:{port}/", tmp_path, see, width)
        run.interrupt()
        assert run.wait() == 0


@pytest.mark.usefixtures("units")
@pytest.mark.parametrize("width", [390, 1100], ids=["phone", "screen"])
def test_the_page_of_a_bus(tmp_path: Path, width: int) -> None:
    async def see(page: Page) -> None:
        await page.until("document.querySelectorAll('#table tr').length === 5")
        actors = "[...document.querySelectorAll('.actor')].map((one) => one.dataset.actor)"
        assert await page.see(actors) == ["1", "2", "3", "4"]
        ends = "(one) => one.dataset.from + one.dataset.to"
        edges = f"[...document.querySelectorAll('.edge')].map({ends})"
        assert set(await page.see(edges)) == {"12", "23", "24"}
        await page.until("document.querySelector('.graph text').textContent.endsWith('B/s')")
        press = "new MouseEvent('click', { bubbles: true })"
        await page.see(f"document.querySelectorAll('.grip')[1].dispatchEvent({press}); 1")
        await page.until("document.querySelectorAll('.panel').length === 4")
        known = await page.until("document.querySelector('[data-tag=line] .known').textContent")
        assert "source: X:line" in known
        await page.until("document.getElementById('log').textContent.includes('a page shows it')")
        assert await page.see("document.documentElement.scrollWidth") <= width

    with free_port() as port, free_port() as other:
        ends = ["{", "--to-plot", f"web={other}", "--to-summary", "path=/dev/null", "}"]
        with Run("-bus", "seen", "-web", str(port), *PIPE, *ends) as run:
            card_of("seen")
            look(f"http://127.0.0.1:{port}/", tmp_path, see, width)
            run.interrupt()
            assert run.wait() == 0


def test_a_browser_that_is_stopped_holds_up_nobody(tmp_path: Path) -> None:
    file = tmp_path / "all"
    pipe = ["--from-scratch", "counter", "n=1", "image=256,256", "rate=100"]

    def count() -> int:
        return file.read_text().count("n:") if file.exists() else 0

    async def see(page: Page) -> None:
        await page.until("panels.shown > 3")
        page.stop()
        before = count()
        wait_for(lambda: count() > before + 200, "data while the browser is stopped")
        shown = await page.go_on().see("panels.shown")
        await page.until(f"panels.shown > {shown + 3}")

    with free_port() as port:
        ends = ["{", "--to-plot", f"web={port}", "--to-summary", f"path={file}", "}"]
        with Run("-bus", "watched", *pipe, *ends) as run:
            card_of("watched")
            look(f"http://127.0.0.1:{port}/", tmp_path, see)
            run.interrupt()
            assert run.wait() == 0
