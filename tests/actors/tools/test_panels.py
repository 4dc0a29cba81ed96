from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from camagick.tools.canvas import Paper, save, wants_window
from camagick.tools.panels import SIDE, Board, History, kind_of, layout


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (1.5, "history"),
        (np.int8(1), "history"),
        (np.array(True), "history"),
        (np.zeros(1), "history"),
        (np.zeros(2), "line"),
        (np.zeros((1, 1)), "image"),
        (np.zeros((3, 4), complex), "image"),
        (np.zeros((3, 4, 5)), "text"),
        (np.zeros(0), "text"),
        ("text", "text"),
        (None, "text"),
        ([[1], [1, 2]], "text"),
    ],
    ids=repr,
)
def test_what_suits_a_value(value, kind):
    assert kind_of(value) == kind


@pytest.mark.parametrize(
    ("count", "shape"),
    [(0, (1, 1)), (1, (1, 1)), (2, (2, 1)), (3, (2, 2)), (5, (3, 2)), (9, (3, 3))],
)
def test_layout(count, shape):
    assert layout(count) == shape


@pytest.fixture
def board():
    return Board(Paper().figure, {})


def axes(board: Board) -> dict[str, Any]:
    return {panel.tag: panel.axes for panel in board._panels.values()}


def test_lines_images_and_texts(board):
    image, line = np.arange(12.0).reshape(3, 4), np.arange(5.0)
    history = History()
    for value in (1.0, 2.0, 3.0):
        history.add(value)
    values = {"line": line, "image": image, "n": 3.0, "text": "a $ b", "cube": np.zeros((2, 3, 4))}
    board.show(values, {"line": "mV"}, {"n": history})
    board._figure.canvas.draw()

    drawn = axes(board)
    assert list(drawn) == list(values)
    assert drawn["line"].get_title() == "line [mV]"
    assert drawn["line"].get_legend() is not None
    assert drawn["line"].lines[0].get_ydata().tolist() == line.tolist()
    assert np.array_equal(drawn["image"].images[0].get_array(), image)
    assert drawn["image"].images[0].get_clim() == (0, 11)
    assert drawn["image"].images[0].colorbar is not None
    assert drawn["n"].lines[0].get_ydata().tolist() == [1, 2, 3]
    assert drawn["n"].lines[0].get_xdata()[-1] == 0
    assert drawn["text"].texts[0].get_text() == "a $ b"
    assert "(2, 3, 4)" in drawn["cube"].texts[0].get_text()


def test_only_what_changes_is_made_anew(board):
    board.show({"x": np.zeros(3), "y": np.zeros((2, 2))}, {}, {})
    before = axes(board)
    board.show({"x": np.ones(5)}, {}, {})
    board.show({"y": np.ones((3, 3))}, {}, {})
    assert axes(board) == before
    assert before["x"].lines[0].get_ydata().tolist() == [1] * 5
    assert before["y"].images[0].get_array().shape == (3, 3)
    assert len(before["y"].images) == 1
    board.show({"z": np.zeros(2)}, {}, {})
    assert list(axes(board)) == ["x", "y", "z"]
    assert axes(board)["x"].lines[0].get_ydata().tolist() == [1] * 5
    board.show({"x": np.zeros((2, 2))}, {}, {})
    assert board.kinds == {"x": "image", "y": "image", "z": "line"}


@pytest.mark.parametrize(
    "value",
    [
        np.full((2, 2), np.nan),
        np.zeros((2, 2), bool),
        np.zeros((1, 50)),
        np.zeros((2, 2), np.uint8),
        np.full(3, np.inf),
        np.zeros(3, complex),
        np.zeros((0, 3)),
    ],
    ids=repr,
)
def test_values_out_of_the_ordinary(board, value):
    for _ in range(2):
        board.show({"_x$": value, "{}": value}, {}, {})
        board._figure.canvas.draw()


def test_large_images_are_thinned(board):
    board.show({"x": np.zeros((2 * SIDE + 1, 10))}, {}, {})
    assert max(axes(board)["x"].images[0].get_array().shape) <= SIDE


def test_wishes(board):
    board = Board(board._figure, {"a": "text", "b": "line", "c": "image"})
    board.show({"a": np.zeros(3), "b": np.zeros((2, 3)), "c": np.zeros(3)}, {}, {})
    assert board.kinds == {"a": "text", "b": "line", "c": "line"}
    assert axes(board)["b"].lines[0].get_ydata().size == 6


def test_pictures_are_whole(tmp_path):
    path = tmp_path / "folder" / "x.png"
    for _ in range(2):
        save(Figure(), str(path))
        assert path.read_bytes().startswith(b"\x89PNG")
    assert [entry.name for entry in path.parent.iterdir()] == ["x.png"]


def test_a_screen():
    assert not wants_window({})
    assert not wants_window({"DISPLAY": ""})
    assert wants_window({"WAYLAND_DISPLAY": "wayland-0"})
