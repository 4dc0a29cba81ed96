from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from camagick.tools.board import Board, layout
from camagick.tools.canvas import Paper, save, wants_window
from camagick.tools.panels import SIDE, History, kind_of
from camagick.tools.panelspec import BadStyle, Style
from camagick.tools.scales import lasting, span


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
    board.show(values, {"line": "mV"}, {"n": history.curve()})
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
    wishes = {"a": "text", "b": "line", "c": "image"}
    board = Board(board._figure, {tag: Style(kind) for tag, kind in wishes.items()})
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


def test_styles():
    assert Style.parse("image,log,1:100,free") == Style("image", True, 1.0, 100.0, "free")
    assert Style.parse(":5") == Style(high=5.0)
    assert Style.parse("") == Style()
    for wrong in ("pie", "1:2:3", "5:1", "nan:", "log,0:1", "a:b"):
        with pytest.raises(BadStyle):
            Style.parse(wrong)


def test_log_scales_levels_and_aspect(board):
    styles = {
        "i": Style.parse("log,1:100,free"), "j": Style.parse("log"), "l": Style.parse("log,:50"),
        "none": Style.parse("log"), "k": Style.parse("5:"),
    }  # fmt: skip
    board = Board(board._figure, styles)
    image = np.array([[0.0, 2.0], [-3.0, 40.0]])
    board.show(
        {"i": image, "j": image, "l": np.array([0.0, 1, 7]), "none": image * 0, "k": image}, {}, {}
    )
    board._figure.canvas.draw()
    drawn = axes(board)
    assert [type(drawn[tag].images[0].norm).__name__ for tag in "ijk"] == [
        "LogNorm", "LogNorm", "Normalize",
    ]  # fmt: skip
    assert drawn["i"].images[0].get_clim() == (1, 100)
    assert drawn["j"].images[0].get_clim() == (2, 40)
    assert drawn["k"].images[0].get_clim() == (5, 40)
    assert (drawn["i"].get_aspect(), drawn["j"].get_aspect()) == ("auto", 1.0)
    assert drawn["l"].get_yscale() == "log"
    assert drawn["l"].get_ylim() == (1, 50)
    board.restyle(log=False)
    assert board.again()
    assert type(drawn["i"].images[0].norm).__name__ == "Normalize"
    assert drawn["l"].get_yscale() == "linear"


def test_what_was_held_and_what_was_zoomed_stays(board):
    board.show({"x": np.arange(3.0), "y": np.eye(3)}, {}, {})
    drawn = axes(board)
    for panel in board.panels:
        panel.held = True
    drawn["x"].set_xlim(1, 2)  # as the mouse does
    board.show({"x": np.arange(3.0) * 9, "y": np.eye(3) * 9}, {}, {})
    assert drawn["x"].get_xlim() == (1, 2)
    assert drawn["x"].get_ylim()[1] < 3
    assert drawn["y"].images[0].get_clim() == (0, 1)


def test_limits_do_not_follow_every_twitch():
    line = np.array([0.0, 10.0])
    assert span(line, margin=0.05) == (-0.5, 10.5)
    assert span(line * 0.9, margin=0.05, before=(-0.5, 10.5)) == (-0.5, 10.5)
    assert span(line * 1.1, margin=0.05, before=(-0.5, 10.5)) == pytest.approx((-0.55, 11.55))
    assert span(line * 0.3, margin=0.05, before=(-0.5, 10.5)) == pytest.approx((-0.15, 3.15))
    assert lasting(np.array([-5.0, 0.0]), (-8.0, 0.0)) == (-8.0, 0.0)
    assert lasting(np.array([-9.0, 0.0]), (-8.0, 0.0)) == pytest.approx((-12.6, 0.0))
