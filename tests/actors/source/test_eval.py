"""Data made of expressions."""

import asyncio

import numpy as np
import pytest

from camagick.data import Data
from camagick.errors import BadOption, CamagickError
from camagick.source.eval import Processor


def made(context: Data | None = None, **tags: str) -> dict[str, object]:
    node = Processor(**tags)
    asyncio.run(node.startup())
    return node.process(Data(), context or Data())


def test_expressions_have_numpy_and_the_context():
    found = made(Data({"n": 3}), a="sqrt(4) + n", b="linspace(0, 1, n)", c="3")
    assert (found["a"], found["c"]) == (5.0, 3)
    assert np.array_equal(np.asarray(found["b"]), [0, 0.5, 1])


@pytest.mark.parametrize("tags", [{}, {"a": "1 +"}, {"a": ""}])
def test_what_is_no_expression_is_refused_at_once(tags):
    with pytest.raises(BadOption):
        Processor(**tags)


@pytest.mark.parametrize("text", ["1 / 0", "nothing_of_that_name", "None"])
def test_what_has_no_value_names_the_tag(text):
    with pytest.raises(CamagickError, match=r"^eval: a: "):
        made(a=text)
