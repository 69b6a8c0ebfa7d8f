"""Pictures of matrices and carpets: pixels and packed values against the numbers."""

from __future__ import annotations

import base64
import io
import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bids_spheres.reports.toolkit.charts import (
    Axis,
    Frame,
    Group,
    Label,
    Order,
    network_order,
)
from bids_spheres.reports.toolkit.matrices import (
    DIVERGING,
    GREYS,
    MISSING,
    MOST_COLUMNS,
    MOST_ROWS,
    Beside,
    Layer,
    Panel,
    block_means,
    carpet_codes,
    carpet_raster,
    carpets,
    colour_limit,
    matrix_graphic,
    packed,
    pairs,
    palette_codes,
    seed_matrix,
    volumes_axis,
)


def symmetric(n, seed=0):
    values = np.random.default_rng(seed).uniform(-1, 1, (n, n))
    values = (values + values.T) / 2
    np.fill_diagonal(values, 1)
    return values


def graphic(values, limit, beside, caption, **more):
    return matrix_graphic(
        values, limit, beside, caption, strategy="simple", row_names="names", **more
    )


def unpacked(text, step, n_bytes, n):
    """What the page's script would tell of each pair."""
    whole = np.frombuffer(base64.b64decode(text), dtype=f"<i{n_bytes}")
    missing = {1: -128, 2: -32768}[n_bytes]
    table = np.full((n, n), np.nan)
    for low in range(n):
        for high in range(low, n):
            value = whole[low * n - (low * (low - 1)) // 2 + high - low]
            table[low, high] = table[high, low] = np.nan if value == missing else value * step
    return table


def pixels(src):
    data = base64.b64decode(src.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


@given(st.integers(1, 20), st.floats(1e-3, 1e3), st.integers(0, 5))
def test_packed_values_are_the_matrix(n, scale, seed):
    matrix = scale * symmetric(n, seed)
    text, step, n_bytes = packed(matrix)
    np.testing.assert_allclose(unpacked(text, step, n_bytes, n), matrix, atol=0.51 * step, rtol=0)
    assert step <= scale / 32000


def test_missing_pairs_stay_missing():
    matrix = symmetric(5)
    matrix[2] = matrix[:, 2] = np.nan
    np.testing.assert_array_equal(np.isnan(unpacked(*packed(matrix), 5)), np.isnan(matrix))
    assert packed(np.full((2, 2), np.nan))[1] == 1


@pytest.mark.parametrize(("scale", "n_bytes"), [(1, 1), (3, 2)])
def test_many_pairs_take_a_byte_where_two_decimals_fit(scale, n_bytes):
    matrix = scale * symmetric(400)
    matrix[7] = matrix[:, 7] = np.nan
    text, step, size = packed(matrix)
    assert size == n_bytes
    assert len(text) == pytest.approx(400 * 401 / 2 * n_bytes * 4 / 3, rel=0.01)
    told = unpacked(text, step, size, 400)
    np.testing.assert_array_equal(np.isnan(told), np.isnan(matrix))
    np.testing.assert_allclose(told, matrix, atol=0.00501, rtol=0)


def test_large_matrices_are_averaged_to_what_a_screen_shows():
    matrix = np.kron(symmetric(250), np.ones((4, 4)))
    matrix[:4] = matrix[:, :4] = np.nan
    (image, _) = graphic(matrix, 1.0, Beside(), "alt").chart.rasters
    shown = pixels(image.src)
    assert image.smooth
    assert len(shown) <= 2 * image.width
    every = len(matrix) // len(shown)
    expected = DIVERGING[palette_codes(matrix[::every, ::every], 1.0)]
    np.testing.assert_array_equal(shown, expected)


def test_colours_tell_sign_and_strength():
    values = np.array([[1.0, 0.5, 0.0], [-0.5, -1.0, np.nan], [7.0, -7.0, 0.001]])
    colours = DIVERGING[palette_codes(values, 1.0)].astype(int)
    red_over_blue = colours[..., 0] - colours[..., 2]
    assert red_over_blue[0, 0] > 80
    assert red_over_blue[1, 1] < -80
    assert abs(red_over_blue[0, 2]) < 5
    np.testing.assert_array_equal(colours[2, 0], colours[0, 0])
    np.testing.assert_array_equal(colours[2, 1], colours[1, 1])
    assert palette_codes(values, 1.0)[1, 2] == MISSING
    codes = palette_codes(np.linspace(-1, 1, 401), 1.0).astype(int)
    assert np.all(np.diff(codes) >= 0)


def test_light_falls_with_strength_on_both_sides():
    light = DIVERGING[:255].astype(float) @ [0.2126, 0.7152, 0.0722]
    assert np.all(np.diff(light[:128]) > 0)
    assert np.all(np.diff(light[127:]) < 0)


def test_the_limit_holds_99_of_100_pairs():
    matrix = symmetric(60)
    limit = colour_limit([matrix])
    upper = np.abs(matrix[np.triu_indices(60, 1)])
    assert np.mean(upper <= limit) >= 0.99
    assert limit == pytest.approx(np.ceil(10 * np.percentile(upper, 99)) / 10)
    assert colour_limit([np.full((3, 3), np.nan)]) == 1
    assert colour_limit([]) == 1


def test_a_picture_has_a_pixel_for_every_pair():
    matrix = symmetric(7)
    picture = graphic(matrix, 1.0, Beside(), "alt text")
    image = pixels(picture.chart.rasters[0].src)
    np.testing.assert_array_equal(image, DIVERGING[palette_codes(matrix, 1.0)])
    assert picture.chart.alt == "alt text"
    assert picture.matrix.n == 7


def test_names_of_groups_stand_beside_their_rows():
    groups = (Group("visual", 0, 30), Group("motor", 30, 40))
    chart = graphic(symmetric(40), 1.0, Beside(groups), "").chart
    image = chart.rasters[0]
    names = [label for label in chart.labels if label.style == "name"]
    down = {label.text: label.down for label in names if not label.turned}
    across = {label.text: label.across for label in names if label.turned}
    for name, middle in (("visual", 15 / 40), ("motor", 35 / 40)):
        assert down[name] == pytest.approx(image.top + image.height * middle, abs=6)
        assert across[name] == pytest.approx(image.left + image.width * middle, abs=6)
    # Around the rows of each group, 1.2 pixels shorter at both ends, on both axes.
    beside, below = (
        np.array(re.findall(r"([\d.]+),([\d.]+)", mark.path), dtype=float).reshape(2, 4, 2)
        for mark in chart.marks
        if mark.style == "bracket"
    )
    for group, left, bottom in zip(groups, beside, below, strict=True):
        ends = np.array([group.start, group.stop]) / 40
        rows = image.top + image.height * ends + [1.2, -1.2]
        columns = image.left + image.width * ends + [1.2, -1.2]
        away = image.left - np.array([1, 5, 5, 1])
        np.testing.assert_allclose(left, np.stack([away, rows[[0, 0, 1, 1]]], 1), atol=0.06)
        away = image.top + image.height + np.array([1, 5, 5, 1])
        np.testing.assert_allclose(bottom, np.stack([columns[[0, 0, 1, 1]], away], 1), atol=0.06)
    divide = next(mark.path for mark in chart.marks if mark.style == "divide")
    assert f"M{image.left:.1f},{image.top + image.height * 0.75:.1f}h" in divide


def test_many_groups_name_the_largest_without_overlap():
    sizes = [1 + i % 7 for i in range(90)]
    edges = np.cumsum([0, *sizes])
    groups = tuple(Group(f"g{i}", edges[i], edges[i + 1]) for i in range(90))
    chart = graphic(symmetric(edges[-1]), 1.0, Beside(groups), "").chart
    names = [label for label in chart.labels if label.style == "name" and not label.turned]
    assert np.all(np.diff([label.down for label in names]) > 11)
    smallest = min(sizes[int(label.text[1:])] for label in names)
    hidden = max(s for i, s in enumerate(sizes) if f"g{i}" not in {n.text for n in names})
    assert smallest >= hidden


def test_rows_without_names_have_numbers():
    chart = graphic(symmetric(264), 1.0, Beside(), "").chart
    image = chart.rasters[0]
    assert image.width / 264 >= 2
    numbers = [label for label in chart.labels if label.across < image.left]
    assert numbers
    below = [label for label in chart.labels if label.down == image.top + image.height + 14]
    assert [label.text for label in below] == [label.text for label in numbers]
    for label in numbers:
        expected = image.top + image.height * (int(label.text) - 0.5) / 264
        assert label.down == pytest.approx(expected + 4)
    assert {"1", "50", "250"} <= {label.text for label in numbers}


def test_small_matrices_have_their_values_in_the_cells():
    matrix = np.array([[1.0, -0.123, np.nan], [-0.123, 1, 0.9], [np.nan, 0.9, 1]])
    chart = graphic(matrix, 1.0, Beside((), ("a", "b", "c")), "").chart
    cells = [label for label in chart.labels if label.style.startswith("cell")]
    minus = "\N{MINUS SIGN}.12"
    assert [label.text for label in cells] == ["1", minus, minus, "1", ".90", ".90", "1"]
    assert [label.style for label in cells].count("cell-bright") == 5
    large = graphic(symmetric(13), 1.0, Beside(), "").chart
    assert not any(label.style.startswith("cell") for label in large.labels)


def test_other_values_go_along_and_cells_may_be_blank():
    matrix, q = symmetric(6), np.abs(symmetric(6))
    blank = np.tri(6, k=-1, dtype=bool)
    blank[5, 0] = False
    layers = (Layer("q", q, 3, probability=True), Layer("N", np.full((6, 6), 40.0), 0))
    picture = graphic(matrix, 1.0, Beside(), "", blank=blank, layers=layers)
    image = pixels(picture.chart.rasters[0].src)
    np.testing.assert_array_equal(image, DIVERGING[palette_codes(np.where(blank, 0, matrix), 1.0)])
    # A blank cell is white, and has no number: a 0 that is not its value.
    numbers = [label for label in picture.chart.labels if label.style.startswith("cell")]
    assert len(numbers) == 36 - 14
    assert float(numbers[-2].text.replace("\N{MINUS SIGN}", "-")) == round(matrix[5, 0], 2)
    np.testing.assert_allclose(unpacked(*picture.matrix.packed, 6), matrix, atol=1e-4)
    first, second = json.loads(picture.matrix.more)
    np.testing.assert_allclose(
        unpacked(first["values"], first["step"], first["bytes"], 6), q, atol=1e-4
    )
    told = unpacked(second["values"], second["step"], second["bytes"], 6)
    np.testing.assert_allclose(told, 40)
    assert [(x["label"], x["digits"], x["probability"]) for x in (first, second)] == [
        ("q", 3, True),
        ("N", 0, False),
    ]


def test_a_matrix_alone_has_nothing_more():
    assert not graphic(symmetric(3), 1.0, Beside(), "").matrix.more


LAST = len(GREYS) - 2
GONE = len(GREYS) - 1


def test_greys_go_from_two_deviations_below_to_two_above():
    rng = np.random.default_rng(0)
    series = rng.standard_normal((50, 3)) * [1, 10, 1000] + [0, 5, -7]
    z = (series - series.mean(axis=0)) / series.std(axis=0, ddof=1)
    expected = np.rint(np.clip(z / 4 + 0.5, 0, 1) * LAST)
    np.testing.assert_array_equal(carpet_codes(series), expected.T)


def test_censored_volumes_and_missing_spheres_are_told_apart_from_grey():
    series = np.random.default_rng(1).standard_normal((20, 4))
    series[5] = np.nan
    series[:, 2] = np.nan
    gone = carpet_codes(series) == GONE
    expected = np.zeros((4, 20), dtype=bool)
    expected[2] = expected[:, 5] = True
    np.testing.assert_array_equal(gone, expected)


def test_a_constant_series_is_in_the_middle():
    codes = carpet_codes(np.full((10, 1), 3.0))
    assert abs(codes - LAST / 2).max() <= 0.5


def test_large_carpets_are_averaged_to_what_a_screen_shows():
    series = np.random.default_rng(2).standard_normal((2 * MOST_COLUMNS, 2 * MOST_ROWS))
    series[: MOST_COLUMNS // 2] = np.nan
    codes = carpet_codes(series)
    assert codes.shape == (MOST_ROWS, MOST_COLUMNS)
    assert (codes[:, : MOST_COLUMNS // 4] == GONE).all()
    assert (codes[:, MOST_COLUMNS // 4 :] != GONE).all()
    # Of four independent values each, so that the spread is half of that of one.
    spread = (codes[:, MOST_COLUMNS // 4 :] / LAST - 0.5).std() * 4
    assert spread == pytest.approx(0.5, abs=0.02)


def test_networks_stand_beside_their_rows():
    series = np.random.default_rng(3).standard_normal((30, 40))
    order = network_order(["a"] * 10 + ["b"] * 20 + ["a"] * 10)
    frame = Frame(130, 4, 600, 160, volumes_axis(30, "Volume"), Axis(0, 40))
    panel = Panel(carpet_raster(series, order, frame), frame)
    chart = carpets([panel], order, "alt")
    places = {label.text: label.down for label in chart.labels if label.style == "name"}
    assert places["a"] == pytest.approx(4 + 160 / 4, abs=6)
    assert places["b"] == pytest.approx(4 + 160 * 3 / 4, abs=6)
    raster = chart.rasters[0]
    assert (raster.left, raster.top, raster.width, raster.height) == (130, 4, 600, 160)


def test_pairs_are_the_upper_triangle():
    assert pairs(np.arange(9).reshape(3, 3)).tolist() == [1, 2, 5]


def test_means_of_blocks_of_neighbours():
    values = np.array([[1.0, 2, 3, 4, 5], [7, 8, np.nan, 10, 11], [0, 0, 0, 0, np.nan]])
    np.testing.assert_allclose(
        block_means(values, 2, 2), [[21 / 5, 30 / 4], [0, 0]], equal_nan=True
    )
    np.testing.assert_array_equal(block_means(values, 3, 5), values)
    np.testing.assert_allclose(block_means(values, 9, 3)[2], [0, 0, np.nan])
    assert block_means(values[:0], 2, 5).shape == (0, 5)


def test_limits_and_codes_of_colours():
    weak, strong = np.full((4, 4), 0.01), np.full((30, 30), -2.1)
    assert colour_limit([weak]) == 0.1
    assert colour_limit([weak], 0.02) == 0.02
    assert colour_limit([weak, strong]) == 3
    assert colour_limit([np.full((3, 3), 0.4)]) == 0.4
    assert palette_codes(np.array([-2.0, -1, -0.5, 0, 0.25, 1, np.nan]), 0.5).tolist() == (
        [0, 0, 0, 127, 190, 254, 255]
    )
    assert DIVERGING[[0, 127, 254, 255]].tolist() == [
        *([8, 48, 107], [247, 247, 247], [103, 0, 13]),
        [138, 143, 150],
    ]


@pytest.mark.parametrize(
    ("n", "high", "digits", "n_bytes", "step"),
    [
        (400, 1.27, 2, 1, 0.01),
        (400, 1.28, 2, 2, 1.28 / 32767),
        (399, 1.27, 2, 2, 1.27 / 32767),
        (400, 0.1, 3, 1, 0.001),
        (400, 0.2, 3, 2, 0.2 / 32767),
        (400, 120, 0, 1, 1),
    ],
)
def test_bytes_of_packed_values(n, high, digits, n_bytes, step):
    matrix = np.zeros((n, n))
    matrix[0, 1] = matrix[1, 0] = -high
    made = packed(matrix, digits) if digits != 2 else packed(matrix)
    assert made.bytes == n_bytes
    assert made.step == pytest.approx(step)


@pytest.mark.parametrize(
    ("n", "longest", "width", "left", "below"),
    [
        *((100, 0, 384, 40, 16), (101, 0, 780, 40, 16)),
        *((100, 15, 384, 128, 122), (101, 15, 780, 128, 122), (50, 2, 384, 40, 28)),
        *((101, 20, 780, 164, 158), (101, 33, 780, 164, 158)),
    ],
)
def test_places_in_the_picture_of_a_matrix(n, longest, width, left, below):
    groups = (Group("a", 0, n - 40), Group("b" * longest, n - 40, n)) if longest else ()
    chart = graphic(symmetric(n), 0.5, Beside(groups), "").chart
    side = width - left - 8
    image, scale = chart.rasters
    assert (chart.width, chart.height) == (width, 6 + side + below + 12 + 28)
    assert (image.left, image.top, image.width, image.height) == (left, 6, side, side)
    assert not image.smooth
    assert (scale.left, scale.top, scale.width, scale.height) == (
        left,
        6 + side + below + 12,
        side,
        8,
    )
    np.testing.assert_array_equal(pixels(scale.src)[0], DIVERGING[:255])
    down = 6 + side + below + 12 + 21
    assert chart.labels[-3:] == (
        Label(left, down, "\N{MINUS SIGN}0.5", "start"),
        Label(left + side / 2, down, "0"),
        Label(left + side, down, "0.5", "end"),
    )
    (divide,) = (mark.path for mark in chart.marks if mark.style == "divide")
    at = side * (n - 40) / n
    lines = f"M{left:.1f},{6 + at:.1f}h{side}M{left + at:.1f},6.0v{side}" if longest else ""
    assert divide == lines


def test_numbers_of_few_rows_and_values_of_twelve():
    two = graphic(symmetric(2), 1.0, Beside(), "").chart
    assert [label.text for label in two.labels if label.anchor == "end"][:2] == ["1", "2"]
    three = graphic(symmetric(3), 1.0, Beside(), "").chart
    beside = [label for label in three.labels if label.across == 34]
    assert [label.text for label in beside][:1] == ["1"]
    matrix = np.full((12, 12), 0.25)
    matrix[0, :6] = [0.62, 0.63, 0.004, -0.995, 1.234, 0]
    cells = [
        label
        for label in graphic(matrix, 1.0, Beside(), "").chart.labels
        if label.style.startswith("cell")
    ]
    assert len(cells) == 144
    assert [(label.text, label.style) for label in cells[:7]] == [
        (".62", "cell"),
        (".63", "cell-bright"),
        (".004", "cell"),
        ("\N{MINUS SIGN}0.995", "cell-bright"),
        ("1.23", "cell-bright"),
        (".00", "cell"),
        (".25", "cell"),
    ]
    step = (384 - 48) / 12
    assert (cells[13].across, cells[13].down) == (40 + 1.5 * step, 6 + 1.5 * step + 3)
    assert (cells[12].across, cells[12].down) == (40 + 0.5 * step, 6 + 1.5 * step + 3)


def test_greys_are_those_of_the_typical_volumes():
    """Mean and deviation of volumes 0 to 3; the volume with the artefact is white."""
    series = np.array([[1.0, 10], [2, 10], [3, 12], [4, 12], [50, -90], [np.nan, 11]])
    typical = np.array([True] * 4 + [False, True])
    own = series[[0, 1, 2, 3]]
    mean, deviation = own.mean(axis=0), own.std(axis=0, ddof=1)
    mean[1], deviation[1] = 11, np.std([10, 10, 12, 12, 11], ddof=1)
    z = (series - mean) / deviation
    expected = np.rint(np.clip(np.nan_to_num(z) / 4 + 0.5, 0, 1) * LAST)
    expected[5, 0] = GONE
    np.testing.assert_array_equal(carpet_codes(series, typical), expected.T)
    order = network_order(["b", "a"])
    frame = Frame(1, 2, 30, 40, volumes_axis(6), Axis(0, 2))
    swapped = Order(np.array([1, 0]))
    for chosen, codes in ((order, expected.T), (swapped, expected.T[::-1])):
        shown = pixels(carpet_raster(series, chosen, frame, typical).src)
        np.testing.assert_array_equal(shown, GREYS[codes.astype(int)])
    assert volumes_axis(100, "Volume") == Axis(0, 100, "Volume", tuple(range(0, 101, 20)))
    assert volumes_axis(90).ticks == tuple(range(0, 91, 10))


def test_carpets_side_by_side():
    order = network_order(["a"] * 3 + ["b"] * 1)
    left, right = (
        Frame(x, 20, width, 80, Axis(0, 10, "Volume", (0.0, 5.0)), Axis(0, 4))
        for x, width in ((130, 100), (250, 50))
    )
    series = np.random.default_rng(3).standard_normal((10, 4))
    panels = [Panel(carpet_raster(series, order, left), left, "before")]
    panels += [Panel(carpet_raster(series, order, right), right)]
    chart = carpets(panels, order, "alt")
    assert (chart.width, chart.height, chart.alt) == (250 + 50 + 16, 20 + 80 + 38, "alt")
    assert [mark.path for mark in chart.marks if mark.style == "divide-light"] == [
        "M130.0,80.0h100.0",
        "M250.0,80.0h50.0",
    ]
    assert Label(180, 14, "before", style="name") in chart.labels
    assert [label.across for label in chart.labels if label.text == "5"] == [180, 275]
    assert [label.text for label in chart.labels if label.turned] == []
    assert len(chart.rasters) == 2


def test_pairs_below_the_diagonal_are_those_with_a_small_p():
    """By network: seeds 0 and 2, then 1. Without a p a pair is not significant."""
    values = symmetric(3)
    p = np.array([[np.nan, 0.05, 0.001], [0.05, np.nan, np.nan], [0.001, np.nan, np.nan]])
    order = network_order(["b", "a", "b"])
    about = {"limit": 1.0, "strategy": "simple", "row_names": "names"}
    more = Layer("effect", np.arange(9.0).reshape(3, 3), 1)
    tested = Layer("q", p, 3, probability=True)
    picture = seed_matrix(values, order, "xyz", "alt", tested=tested, layers=(more,), **about)
    shown = values[np.ix_([0, 2, 1], [0, 2, 1])]
    image = pixels(picture.chart.rasters[0].src)
    shown[2, :2] = 0  # 0.05 is not below the limit, and the other is not known
    np.testing.assert_array_equal(image, DIVERGING[palette_codes(shown, 1.0)])
    assert [layer["label"] for layer in json.loads(picture.matrix.more)] == ["q", "effect"]
    first = json.loads(picture.matrix.more)[0]
    found = unpacked(first["values"], first["step"], first["bytes"], 3)
    np.testing.assert_allclose(found[0], [np.nan, 0.001, 0.05], atol=1e-5)
    names = [label.text for label in picture.chart.labels if label.style == "name"]
    assert names[:3] == ["x", "z", "y"]
    plain = seed_matrix(values, order, "xyz", "alt", **about)
    np.testing.assert_array_equal(
        pixels(plain.chart.rasters[0].src),
        DIVERGING[palette_codes(values[np.ix_([0, 2, 1], [0, 2, 1])], 1.0)],
    )
    many = seed_matrix(symmetric(25), network_order(["a"] * 24 + ["b"]), ["n"] * 25, "", **about)
    assert [label.text for label in many.chart.labels if label.style == "name"][:2] == ["a", "b"]
