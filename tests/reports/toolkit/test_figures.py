"""Pictures: what is in their files, and that a user's settings don't reach them."""

from __future__ import annotations

import base64
import io

import matplotlib as mpl
import matplotlib.image
import numpy as np
import pytest

from bids_spheres.reports.toolkit import figures
from bids_spheres.reports.toolkit.figures import Sheet


def decoded(uri):
    png = base64.b64decode(uri.partition(",")[2])
    return np.rint(matplotlib.image.imread(io.BytesIO(png), format="png")[..., :3] * 255)


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (120, 300)])
def test_greys_survive_to_two_units(shape):
    grey = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    pixels = np.repeat(grey[..., None], 3, axis=-1)
    back = decoded(figures.png_uri(figures.palette_indices(pixels)))
    assert back.shape == pixels.shape
    assert np.abs(back - pixels).max() <= 3


def test_black_and_white_survive_exactly():
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[1] = 255
    indices = figures.palette_indices(pixels)
    np.testing.assert_array_equal(decoded(figures.png_uri(indices)), pixels)


def test_colours_survive_to_half_a_step():
    pixels = np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    indices = figures.palette_indices(pixels)
    assert np.abs(decoded(figures.png_uri(indices)) - pixels).max() <= 33


def test_a_picture_knows_its_size():
    shown = figures.picture(np.zeros((20, 30, 3), np.uint8), "Nothing.", density=1)
    assert (shown.width, shown.height, shown.alt) == (30, 20, "Nothing.")
    assert shown.src.startswith("data:image/png;base64,")
    assert decoded(shown.src).shape == (20, 30, 3)


def test_lines_are_drawn_at_their_pixels():
    sheet = Sheet(40, 30)
    line = sheet.line([(0, 10.5), (40, 10.5)], color="white")
    base = np.full((30, 40, 3), 60, np.uint8)
    drawn = sheet.pixels(base)
    assert (drawn[10] > 200).all()
    assert (drawn[:9] == 60).all()
    assert (drawn[12:] == 60).all()
    figures.move(line, [(5.5, 0), (5.5, 30)])
    moved = sheet.pixels(base)
    assert (moved[:, 5] > 200).all()
    assert (moved[:, 7:] == 60).all()
    assert (base == 60).all()


def test_the_pen_is_lifted_between_strokes():
    sheet = Sheet(40, 30)
    strokes = [np.array([(2, 5.5), (10, 5.5)]), np.array([(30, 20.5), (38, 20.5)])]
    sheet.line(figures.pen_strokes(strokes), color="white")
    drawn = sheet.pixels(np.zeros((30, 40, 3), np.uint8))[..., 0] > 0
    assert not drawn[:, 12:28].any()
    assert drawn[5, 3:10].all()
    assert drawn[20, 31:38].all()
    assert np.isnan(figures.pen_strokes([])).all()


def test_dollar_signs_are_no_formula():
    def written(words):
        sheet = Sheet(80, 20)
        sheet.text(40, 10, words)
        return sheet.pixels(np.zeros((20, 80, 3), np.uint8))

    assert written(r"$\nonsense$").any()
    assert (written("$a$") != written("a")).any()


def ink():
    sheet = Sheet(90, 40)
    sheet.line([(3, 3), (80, 30)], color="white")
    sheet.text(40, 20, "Sagittal 12")
    return sheet.pixels(np.zeros((40, 90, 3), np.uint8))


def test_a_users_settings_change_nothing():
    plain = ink()
    theirs = {
        "font.family": ["monospace"],
        "font.size": 30,
        "font.weight": "bold",
        "lines.linewidth": 9,
        "lines.linestyle": "--",
        "lines.marker": "o",
        "text.usetex": True,
        "figure.autolayout": True,
        "figure.facecolor": "red",
        "axes.facecolor": "red",
        "axes.grid": True,
        "savefig.bbox": "tight",
        "path.sketch": (10, 10, 10),
    }
    with mpl.rc_context(theirs):
        np.testing.assert_array_equal(ink(), plain)
        assert mpl.rcParams["font.size"] == 30
