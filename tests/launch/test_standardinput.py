"""Standard input goes to one actor, and nobody waits for what cannot come."""

from __future__ import annotations

import asyncio
import io
import os
import pty
import sys
from types import SimpleNamespace

import pytest

from camagick.executor import PipeExecutor
from camagick.flow.chain import Processor as ChainFlow
from camagick.source.pipe import Processor as PipeSource
from caspy.cli import main


@pytest.mark.parametrize("line", ["--from-pipe x --from-pipe y", "--from-pipe x , --from-pipe y"])
def test_two_readers_are_refused(line, capsys):
    assert main(line.split()) == 2
    assert "pipe and pipe both read standard input" in capsys.readouterr().err


def test_two_readers_are_refused_in_one_process():
    with pytest.raises(ValueError, match="both read standard input"):
        asyncio.run(PipeExecutor(ChainFlow(PipeSource("x"), PipeSource("y"))).run())


def test_a_terminal_is_no_input(capsys):
    ours, theirs = pty.openpty()
    kept = os.dup(0)
    os.dup2(theirs, 0)
    try:
        assert main(["--from-pipe", "x", "--to-summary"]) == 2
    finally:
        os.dup2(kept, 0)
        for handle in (ours, theirs, kept):
            os.close(handle)
    assert "is a terminal: pipe something into it" in capsys.readouterr().err


def test_a_closed_input_is_said(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["--from-pipe", "x", "--to-summary"]) == 2
    assert "standard input, which is closed" in capsys.readouterr().err


def test_a_recipe_and_data_do_not_both_come_from_there(capsys, monkeypatch):
    recipe = io.BytesIO(b"chain: [{from: [pipe, x]}]\n")
    monkeypatch.setattr("caspy.yamlfile.sys.stdin", SimpleNamespace(buffer=recipe))
    assert main(["-yaml", "-"]) == 2
    assert "the recipe comes from standard input" in capsys.readouterr().err


def test_commands_of_others_do_not_take_it(capfd):
    """The command reads its input, which is empty, and not that of the run."""
    read, write = os.pipe()
    kept = os.dup(0)
    os.write(write, b"7\n")
    os.close(write)
    os.dup2(read, 0)
    try:
        words = ["--from-pipe", "x", "--from-pipe", "n", "cmd=wc -c", "--to-pipe", "x", "n"]
        assert main(words) == 0
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(read)
    assert capfd.readouterr().out == "7.0 0.0\n"
