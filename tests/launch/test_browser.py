"""What a real browser makes of the pages."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.buses import Run, card_of
from tests.servers.ioc import free_port

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("aiohttp")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PIPE = ["--from-scratch", "random", "n=1", "line=64", "image=64", "rate=50",
        "{", "[", "--only", "image", "--reshape", "8", "8", "]", "[", "--exclude", "image", "]",
        "}"]  # fmt: skip

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]


def looked_at(url: str, folder: Path) -> tuple[str, bytes]:
    """Return the page as the browser has it after a while, and a picture of it."""
    shared = [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu",
              f"--user-data-dir={folder}/profile", "--virtual-time-budget=4000"]  # fmt: skip
    env = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}  # it leaves things there
    options = {"env": env, "capture_output": True, "text": True, "timeout": 60, "check": True}
    dom = subprocess.run([*shared, "--dump-dom", url], **options).stdout  # type: ignore[call-overload]
    picture = folder / "page.png"
    subprocess.run([*shared, f"--screenshot={picture}", url], **options)  # type: ignore[call-overload]
    return str(dom), picture.read_bytes()


def test_the_page_of_a_bus(tmp_path):
    with (
        free_port() as port,
        Run("-bus", "seen", "-web", str(port), *PIPE, "--to-summary", "path=/dev/null") as run,
    ):
        card_of("seen")
        dom, picture = looked_at(f"http://127.0.0.1:{port}/", tmp_path)
        assert re.findall(r'data-actor="(\d+)"', dom) == ["1", "2", "3", "4", "5"]
        edges = set(re.findall(r'class="edge" data-from="(\d+)" data-to="(\d+)"', dom))
        assert edges == {("1", "2"), ("2", "3"), ("1", "4"), ("3", "5"), ("4", "5")}
        assert "summary.5" in dom
        assert len(picture) > 5000
        run.interrupt()
        assert run.wait() == 0


def test_the_page_of_a_plot(tmp_path):
    with free_port() as port, Run("-bus", "drawn", *PIPE, "--to-plot", f"web={port}") as run:
        card_of("drawn")
        for _ in range(5):  # the browser's clock runs faster than the machine
            dom, picture = looked_at(f"http://127.0.0.1:{port}/", tmp_path)
            kinds = dict(re.findall(r'data-tag="(\w+)" data-kind="(\w+)"', dom))
            if kinds:
                break
        assert kinds == {"image": "image", "line": "line", "n": "number"}
        assert len(picture) > 5000
        run.interrupt()
        assert run.wait() == 0
