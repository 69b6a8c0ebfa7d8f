"""The masker's page against counts over all voxels, and nilearn's rules for what is displayed."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from itertools import product

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from nilearn.maskers.base_masker import check_displayed_maps, sanitize_displayed_maps

from bids_spheres import __version__
from bids_spheres.engine import Grid, load_mask, load_seeds, sphere_weights
from bids_spheres.engine.stream import image_grid
from bids_spheres.errors import DataError
from bids_spheres.masker.report import MaskerFacts, displayed_spheres, masker_report

# What is displayed


class Warned:
    """Stands for nilearn's masker."""

    def __init__(self):
        self.warnings = []

    def _append_report_warning(self, warning):
        self.warnings.append(warning)


def nilearns_answer(requested, n):
    check_displayed_maps(requested, "displayed_spheres")
    warned, shown = sanitize_displayed_maps(Warned(), requested, n, var_name="sphere")
    return tuple(shown), len(warned.warnings)


@pytest.mark.parametrize(
    "requested",
    ["all", 0, 4, 6, 7, True, [2, 1], [], np.array([1, 3]), list(range(7)), [0, 66, 1], [-1, 2]],
    ids=str,
)
def test_displays_what_nilearn_displays(requested):
    shown, warnings = displayed_spheres(requested, 6)
    assert (shown, len(warnings)) == nilearns_answer(requested, 6)
    assert all(type(index) is int for index in shown)


@pytest.mark.parametrize(
    "requested",
    [4.5, [8.4, 3], "invalid", np.array([1.2, 3.0]), None, (1, 2), {1}, ["0"], [None]],
    ids=str,
)
def test_refuses_what_nilearn_refuses(requested):
    words = "should be either 'all' or a positive 'int', or a list/array of ints"
    for refuse in (displayed_spheres, nilearns_answer):
        with pytest.raises(TypeError, match=words):
            refuse(requested, 6)


def test_numpys_integers_are_integers():
    assert displayed_spheres(np.int64(2), 6) == ((0, 1), ())
    assert displayed_spheres([np.int32(2)], 6) == ((2,), ())
    assert displayed_spheres(np.array([5, 0], np.uint8), 6) == ((5, 0), ())
    with pytest.raises(TypeError, match="2 dimensions"):
        displayed_spheres(np.zeros((2, 2), int), 6)


def test_says_what_is_not_there():
    assert "was set to 6" in displayed_spheres(7, 6)[1][0]
    (warning,) = displayed_spheres([0, 66, 1, 66], 6)[1]
    assert "cannot display the following: 66." in warning
    assert "0 to 5" in warning
    assert displayed_spheres([3], 0)[0] == ()
    assert "negative" in displayed_spheres(-2, 6)[1][0]


def test_a_sphere_is_displayed_once():
    assert displayed_spheres([3, 1, 3], 6) == ((3, 1), ())


# The page


@pytest.fixture(scope="module")
def page(facts, parse):
    return parse(masker_report(facts))


def rows_of(page):
    (table,) = page.all("table")
    keys = [
        re.sub(r"\s.*", "", head.text, flags=re.DOTALL) for head in table.all("thead")[0].all("th")
    ]
    body = table.all("tbody")[0].all("tr")
    return [dict(zip(keys, row.children, strict=True)) for row in body]


def brute_force(facts, mask):
    """Voxels asked and used of each sphere, by a search over a lattice larger than the image."""
    affine = facts.weights.grid.affine
    ranges = [range(-150, 160), *(range(-12, n + 12) for n in mask.shape[1:])]
    lattice = np.array(list(product(*ranges)))
    mm = apply_affine(affine, lattice)
    inside = ((lattice >= 0) & (lattice < mask.shape)).all(axis=1)
    inside[inside] = mask[tuple(lattice[inside].T)]
    asked = []
    for seed, radius in zip(facts.coordinates, facts.radii, strict=True):
        distance = np.linalg.norm(mm - seed, axis=1)
        asked.append((distance <= radius) | (distance == distance.min()))
    asked = np.array(asked)
    return asked, asked & inside


def test_the_table_holds_what_a_search_over_all_voxels_finds(page, facts, mask):
    asked, used = brute_force(facts, mask)
    shared = used & (used.sum(axis=0) > 1)
    voxel = abs(np.linalg.det(facts.weights.grid.affine))
    rows = rows_of(page)
    assert len(rows) == len(facts.names)
    for s, row in enumerate(rows):
        assert int(row["No."].text) == s
        assert row["Name"].text == facts.names[s]
        found = [float(row[axis].text) for axis in ("x", "y", "z", "Radius")]
        np.testing.assert_allclose(found, [*facts.coordinates[s], facts.radii[s]], atol=0.005)
        assert int(row["Used"].text) == used[s].sum()
        assert int(row["Expected"].text) == asked[s].sum()
        coverage = 100 * used[s].sum() / asked[s].sum()
        assert float(row["Coverage"].text.split()[0]) == pytest.approx(coverage, abs=0.051)
        # Keys have four decimals, which keeps pages small.
        assert float(row["Coverage"].attrs["data-key"]) == round(coverage, 4)
        assert int(row["Overlap"].text) == shared[s].sum()
        assert float(row["Volume"].text) == pytest.approx(used[s].sum() * voxel, abs=0.05)
    # The example is worth looking at only if it has all kinds of spheres.
    assert {row["Coverage"].text.split()[-1] for row in rows} == {"100", "(partial)", "(empty)"}
    assert shared.any()


def test_captions_say_what_the_table_says(page, facts, mask):
    _, used = brute_force(facts, mask)
    caption = page.all("section", id="sphere-0")[0].all("figcaption")[0].text
    share = 100 * used[0].sum() / mask.sum()
    assert "front: x = 0, y = 4, z = 2 mm, radius 6 mm" in caption
    assert (
        f"{used[0].sum()} of {facts.weights.asked[0]} voxels used (100\N{NO-BREAK SPACE}%)"
        in caption
    )
    found = re.search(r"([\d.]+)\s% of the mask", caption)
    assert float(found[1]) == pytest.approx(share, rel=0.05)
    assert f"{used[0].sum() * 27:,} mm³" in caption
    outside = page.all("section", id="sphere-3")[0].all("figcaption")[0].text
    assert "The seed lies outside the image." in outside
    assert "No voxel can be used" in outside


def test_summary_counts_spheres(page, facts, mask):
    asked, used = brute_force(facts, mask)
    n_asked, n_used = asked.sum(axis=1), used.sum(axis=1)
    words = page.all("header")[0].text
    assert "5 spheres with radii from 0 to 7 mm." in words
    full = (n_used == n_asked).sum()
    partial = ((n_used > 0) & (n_used < n_asked)).sum()
    assert f"{full} have all of their voxels, {partial} some, and 1 none (outside)" in words
    assert f"Together they use {used.any(axis=0).sum()} voxels." in words
    assert "4 spheres of 5" in words
    shared = used & (used.sum(axis=0) > 1)
    assert f"Spheres that share voxels with another: {shared.any(axis=1).sum()}." in words


def test_every_picture_says_what_it_shows(page, facts):
    pictures = page.all("img")
    assert len(pictures) == 1 + len(facts.displayed)
    for shown in pictures:
        assert len(shown.attrs["alt"]) > 60
        assert int(shown.attrs["width"]) > 0
        assert int(shown.attrs["height"]) > 0
        png = base64.b64decode(shown.attrs["src"].removeprefix("data:image/png;base64,"))
        width, height = (int.from_bytes(png[i : i + 4]) for i in (16, 20))
        density = width // int(shown.attrs["width"])
        assert density in (1, 2)
        assert [width // density, height // density] == [
            int(shown.attrs[side]) for side in ("width", "height")
        ]
        assert len(png) < 25_000 * (2 if shown is pictures[0] else 1)
    assert "5 spheres" in pictures[0].attrs["alt"]
    assert "x from -17 to 400" in pictures[0].attrs["alt"]


def test_spheres_are_shown_in_the_order_asked_for(page, facts):
    steps = [e.attrs["id"] for e in page.all("section") if "step" in (e.attrs.get("class") or "")]
    assert steps == [f"sphere-{s}" for s in facts.displayed]
    options = [option.attrs["value"] for option in page.all("option")]
    assert options == steps


def test_names_are_text(page, facts):
    html = str(masker_report(facts))
    assert "<script>alert" not in html
    assert "<i>" not in html
    assert "<here>" not in html
    assert [row["Name"].text for row in rows_of(page)] == list(facts.names)
    assert page.all("h1")[0].text == "Spheres <of> a test"
    assert page.all("title")[0].text == "Spheres <of> a test"
    assert len(page.all("script")) == 2
    alts = [shown.attrs["alt"] for shown in page.all("img")]
    assert any('a "b" & <i>c</i>' in alt or facts.names[1] in alt for alt in alts)


@pytest.mark.slow
def test_nothing_is_loaded_from_elsewhere(page, facts):
    html = str(masker_report(facts))
    assert not re.search(r"https?:|url\(|@import|//\w+\.", html)
    ids = [e.attrs["id"] for e in page.all("*") if "id" in e.attrs]
    assert len(ids) == len(set(ids))
    for element in page.all("*"):
        assert not {"style", "onclick", "onload"} & set(element.attrs)
        for name in ("src", "href", "srcset", "data"):
            target = element.attrs.get(name)
            assert target is None or target.startswith("data:image/png;") or target[1:] in ids
    assert not page.all("link")


def test_references_are_to_elements_of_the_page(page):
    ids = {e.attrs["id"] for e in page.all("*") if "id" in e.attrs}
    for element in page.all("*"):
        labelled = element.attrs.get("aria-labelledby")
        assert labelled is None or set(labelled.split()) <= ids


def test_only_displayed_spheres_are_linked(page, facts):
    linked = [s for s, row in enumerate(rows_of(page)) if row["Name"].all("a")]
    assert linked == sorted(facts.displayed)


def test_warnings_come_before_figures(facts, parse):
    html = str(masker_report(facts))
    assert html.index("look &lt;here&gt;") < html.index("<img")
    quiet = parse(masker_report(replace(facts, warnings=())))
    assert not quiet.all("section", **{"class": "warnings"})


def test_parameters_and_version_are_there(page):
    (settings,) = page.all("dl")
    shown = {e.all("dt")[0].text: e.all("dd")[0].text for e in settings.all("div")}
    assert shown == {"radius": "6.0", "mask_img": "'<mask>.nii'"}
    assert __version__ in page.all("footer")[0].text


def test_one_sphere_needs_no_buttons(facts, parse):
    page = parse(masker_report(replace(facts, displayed=(2,))))
    assert not page.all("button")
    assert not page.all("select")
    assert len(page.all("img")) == 2


def test_one_sphere_of_no_radius_among_others(page):
    assert "A radius of 0 stands for the one voxel that holds the seed." in page.text
    assert "the yellow ring is the sphere to scale" in page.text
    assert "Solid blue: all voxels used; dashed amber: some; dotted red: none." in page.text


def test_without_an_image_volumes_are_those_of_spheres(facts, parse):
    page = parse(masker_report(replace(facts, background=None, weights=None)))
    rows = rows_of(page)
    assert float(rows[0]["Volume"].text) == pytest.approx(4 / 3 * np.pi * 6**3, abs=0.05)
    assert rows[4]["Volume"].text == "n/a"
    assert {row["Used"].text for row in rows} == {"n/a"}
    assert len(page.all("img")) == 1 + len(facts.displayed)


def test_a_masker_that_is_not_fitted_has_a_page(parse):
    empty = MaskerFacts("Masker", {}, (), np.empty((0, 3)), np.empty(0), warnings=("Not fitted.",))
    page = parse(masker_report(empty))
    assert "Not fitted." in page.all("section", **{"class": "warnings"})[0].text
    assert not page.all("img")
    assert not page.all("table")


def test_nothing_displayed_is_an_overview_and_a_table(facts, parse):
    page = parse(masker_report(replace(facts, displayed=())))
    assert len(page.all("img")) == 1
    assert "no spheres of 5" in page.all("header")[0].text


@pytest.mark.parametrize(
    "change",
    [
        {"coordinates": np.zeros((4, 3))},
        {"radii": np.zeros(4)},
        {"names": ("a", "b")},
        {"names": tuple("abcd"), "coordinates": np.zeros((4, 3)), "radii": np.zeros(4)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_facts_must_fit_together(facts, change):
    with pytest.raises(DataError, match="needs a seed and a radius"):
        replace(facts, **change)


def test_a_series_is_no_background(facts, background):
    series = background.__class__(np.zeros((*background.shape, 2), np.float32), background.affine)
    with pytest.raises(DataError, match="one volume"):
        masker_report(replace(facts, background=series))


def test_real_scan(real_scan, parse):
    func = real_scan / "sub-03" / "func"
    (mask_path,) = func.glob("*run-1_space-T1w_desc-brain_mask.nii.gz")
    img = nib.load(str(mask_path).replace("desc-brain_mask", "boldref"))
    mask, grid = load_mask(mask_path)
    assert grid.matches(image_grid(img))  # and it is oblique
    seeds = load_seeds("Power2011")
    weights = sphere_weights(seeds.coordinates, seeds.radii, grid, mask)
    facts = MaskerFacts(
        "Power", {}, seeds.names, seeds.coordinates, seeds.radii, img, weights, (0, 9, 200)
    )
    rows = rows_of(parse(masker_report(facts)))
    assert [int(row["Used"].text) for row in rows] == weights.used.tolist()


def test_words_of_a_page_of_whole_spheres(background, parse):
    """No radius of zero, no sphere that is cut, none that overlaps, no mask."""
    seeds, radii = np.array([[-5.0, 2, 1], [8, -6, 3.5], [9, 10, -4]]), np.array([3.0, 4, 4])
    grid = image_grid(background)
    whole = MaskerFacts(
        "Whole",
        {},
        ("a", "b", "c"),
        seeds,
        radii,
        background,
        sphere_weights(seeds, radii, grid, None),
        displayed=(1,),
    )
    page = parse(masker_report(whole))
    words = page.all("header")[0].text
    assert "Every sphere has all of its voxels." in words
    assert "Spheres that share voxels with another: none." in words
    assert "Slices are shown for 1 sphere of 3." in words
    (caption,) = (e.text for e in page.all("section", id="sphere-1")[0].all("figcaption"))
    n = int(whole.weights.used[1])
    assert caption.endswith(
        f"b: x = 8, y = -6, z = 3.5 mm, radius 4 mm; {n} of {n} voxels used "
        f"(100\N{NO-BREAK SPACE}%), {27 * n} mm³."
    )
    text = page.text
    assert "A radius of 0 stands for" not in text
    assert "Expected: voxels whose centre lies in the sphere." in text
    assert (
        "Thin lines point to the seed; the yellow ring is the sphere to scale; blue voxels are "
        "those it uses; dashed rings are spheres that overlap it."
    ) in text
    assert "All spheres to scale over the brightest voxels along the line of sight; left" in text
    assert "Solid blue" not in text
    assert "Too far away" not in text
    (alt, *_) = (shown.attrs["alt"] for shown in page.all("img"))
    assert alt.startswith(
        "3 spheres from the side, the front and above: 1 left and 2 right of x = 0. Seeds span "
        "x from -5 to 9, y from -6 to 10, z from -4 to 3.5 mm. Every sphere has all"
    )


def test_words_of_a_page_of_single_voxels_without_an_image(parse):
    single = MaskerFacts(
        "Single",
        {},
        ("a", "b"),
        np.array([[0.0, 2, 1], [-8, -6, 3]]),
        np.zeros(2),
        displayed=(0, 1),
    )
    page = parse(masker_report(single))
    text = page.text
    assert "A radius of 0 stands for the one voxel that holds the seed." in text
    assert "Without an image voxels are not known; volumes are those of ideal spheres." in text
    assert "Thin lines point to the seed." in text
    assert "yellow ring" not in text
    assert "Slices are shown for" not in text
    assert "All spheres to scale; left is on the left." in text
    captions = [e.text for e in page.all("figcaption")]
    assert any("b: x = -8, y = -6, z = 3 mm, the voxel of the seed." in words for words in captions)
    assert "1 left and 0 right of x = 0" in page.all("img")[0].attrs["alt"]


def test_captions_of_spheres_that_are_small_cut_or_shared(parse):
    """Volumes below 100 mm3 have decimals; one voxel is shared, or several."""
    affine = np.diag([2.0, 2.5, 3, 1])
    grid = Grid((6, 5, 4), affine)
    seeds = np.array([[2.0, 2.5, 3], [6, 2.5, 3], [0, 0, 0], [10, 10, 9]])
    radii = np.array([2.2, 2.2, 0, 2.6])
    weights = sphere_weights(seeds, radii, grid, None)
    made = MaskerFacts("x", {}, tuple("abcd"), seeds, radii, None, weights, (0, 1, 2, 3))
    captions = [e.text for e in parse(masker_report(made)).all("figcaption")]
    first, second, third, fourth = captions[-4:]
    space = "\N{NO-BREAK SPACE}"
    assert "radius 2.2 mm; 3 of 3 voxels used (100" in first
    assert first.endswith("45 mm³. 1 voxel is in another sphere as well.")
    assert second.endswith("1 voxel is in another sphere as well.")
    assert third.endswith(f"the voxel of the seed; 1 of 1 voxel used (100{space}%), 15 mm³.")
    assert f"3 of 5 voxels used (60{space}%), 45 mm³." in fourth
    assert made.volume(3) == pytest.approx(45)
    rows = rows_of(parse(masker_report(replace(made, displayed=()))))
    assert [row["Overlap"].text for row in rows] == ["1", "1", "0", "0"]
    assert [row["Coverage"].text for row in rows] == ["100", "100", "100", "60 (partial)"]
    assert "of the mask" not in " ".join(captions)


def test_how_many_are_displayed_is_told():
    assert displayed_spheres(9, 1) == (
        (0,),
        ("displayed_spheres=9 was set to 1, the number of spheres.",),
    )
    assert displayed_spheres(-1, 3) == (
        (),
        ("displayed_spheres=-1 is negative: no sphere is displayed.",),
    )
    assert displayed_spheres([4, -1, 0], 3) == (
        (0,),
        ("Report cannot display the following: 4 and -1. Spheres are numbered 0 to 2.",),
    )
    assert displayed_spheres([0], 0)[1] == (
        "Report cannot display the following: 0. There are no spheres.",
    )
    (many,) = displayed_spheres(list(range(2, 14)), 2)[1]
    assert "2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 2 more. Spheres" in many
    with pytest.raises(TypeError, match=r"not an array of 2 dimensions of int"):
        displayed_spheres(np.zeros((1, 2), int), 3)
    with pytest.raises(TypeError, match=r"not \(1, 2\) \(tuple\)"):
        displayed_spheres((1, 2), 3)


def test_a_sphere_that_the_mask_cuts(parse):
    """A seed may lie in the image and not in the mask, whose share is that of the voxels used."""
    grid = Grid((6, 5, 4), np.diag([2.0, 2, 2, 1]))
    inside = np.zeros(grid.shape, bool)
    inside[3:, :, :2] = True
    seeds = np.array([[5.4, 4, 2], [0, 0, 0], [8, 4, 2]])
    weights = sphere_weights(seeds, 2.7, grid, inside)
    cut = MaskerFacts(
        *("x", {}, tuple("abc"), seeds, np.full(3, 2.7)),
        *(nib.Nifti1Image(inside.astype(np.uint8), grid.affine), weights, (0, 1, 2), (), 30),
    )
    page = parse(masker_report(cut))
    first, second, third = [e.text for e in page.all("figcaption")][-3:]
    assert cut.seeds_inside.tolist() == [True, True, True]
    assert "lies outside the image" not in first + second + third
    centres = np.argwhere(np.ones(grid.shape, bool)) * 2.0
    used = [
        int((np.linalg.norm(centres - seed, axis=1) <= 2.7)[inside.ravel()].sum()) for seed in seeds
    ]
    assert weights.seed_used.tolist() == [True, False, True]
    assert used[1] == 0
    for caption, n in ((first, used[0]), (third, used[2])):
        assert f"{n} of " in caption
        share = re.search(r"([\d.]+)\s% of the mask", caption)
        assert float(share[1]) == pytest.approx(100 * n / 30, abs=0.1)
    assert "Solid blue: all voxels used; dashed amber: some; dotted red: none." in page.text
