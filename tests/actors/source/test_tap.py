"""The source that listens to another bus; with real buses in tests/test_taps.py."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from camagick.data import NEW, Data, Mark
from camagick.errors import BadOption
from camagick.source.tap import Processor, _fill
from camagick_broker.errors import AddressError


def test_what_is_known_about_a_value_comes_along_and_its_maker_does_not() -> None:
    data = Data()
    image = np.zeros((2, 2))
    _fill(data, {"a": Mark(7, "b", {"units": "mm"}, image), "c": Mark(7, "c", {}, 5)})
    assert dict(data) == {"a": image, "c": 5}
    assert data.attributes("a") == {"units": "mm"}
    assert data.marks["a"].maker == NEW, "numbers of another bus mean nothing here"
    plain: dict[str, object] = {}
    _fill(plain, {"a": Mark(7, "a", {"units": "mm"}, 5)})
    assert plain == {"a": 5}


@pytest.mark.parametrize("rate", [0, -1, "fast", float("nan"), float("inf"), 1e7, True, None])
def test_rates_that_are_none(rate: object) -> None:
    with pytest.raises(BadOption, match="is neither 'all' nor a number of messages per second"):
        Processor("b/1", rate=rate)  # type: ignore[arg-type]


@pytest.mark.parametrize("actor", ["", "b", "b/", "/1", "/"])
def test_actors_that_are_none(actor: str) -> None:
    with pytest.raises(BadOption, match="is not BUS/ACTOR: caspy -ls shows"):
        Processor(actor)


def test_without_a_bus_it_does_not_start_and_can_be_shut_down() -> None:
    node = Processor("b/1")
    with pytest.raises(AddressError, match="no bus called 'b' is running"):
        asyncio.run(node.startup())
    asyncio.run(node.shutdown())
    assert node.figures() == {}
