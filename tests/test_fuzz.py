"""Files of others and of ours, damaged at random: a documented error, or the right result.

Each test has a few seconds, and its long form a hundred, or ``BIDS_SPHERES_FUZZ_SECONDS``.
``BIDS_SPHERES_FUZZ_SEED`` repeats what an earlier run did; its seed is printed.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import time
import warnings
from contextlib import suppress

import h5py
import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from nibabel.affines import apply_affine

from bids_spheres.engine.extract import extract_spheres
from bids_spheres.errors import EXIT_STATUSES, FAULT, BidsSpheresError
from bids_spheres.spaces.itk import move_points


def map_points(points, path):
    """Coordinates of points that went through one file."""
    return move_points(points, [path]).coordinates


SEEDS = np.array([[0.0, 0, 0], [6, 4, -4]])
RADIUS = 5.0
PAST = 0, 1, 2, 3, 4, 8, 16, 127, 128, 255
HEADER_NUMBERS = (-1, 0, 1, 3, 5, 8, 1 << 15, (1 << 31) - 1, -(1 << 31))
FLOATS = (np.nan, np.inf, -np.inf, 0.0, -1.0, 1e-40, 1e38)
WORDS = ("n/a", "NaN", "-inf", "1e999", "9" * 400, "\t", "\n", "\r", "\0", "\ufeff", '"', "'", "[")
WORDS += ("]", "{", "}", ":", ",", "- ", "&a ", "*a", "!!python/object:os.system ", "null", "true")
WORDS += ("-", "0", "é", "\x1b[2J", "<script>", "$x$", "../", "%s", "{0}", "#", "|", "(a+)+$", " ")


class _TimeIsOverError(Exception):
    """Enough examples were drawn."""


LONG = float(os.environ.get("BIDS_SPHERES_FUZZ_SECONDS") or 100)


@pytest.fixture(params=[6, pytest.param(LONG, marks=pytest.mark.long)], ids=["short", "long"])
def fuzz(request):
    """Draw examples and check them until the time is over."""
    seconds = request.param
    number = int(os.environ.get("BIDS_SPHERES_FUZZ_SEED") or random.SystemRandom().getrandbits(32))

    def run(strategy, check):
        end, failed, checked = time.monotonic() + seconds, [], []
        print(f"BIDS_SPHERES_FUZZ_SEED={number}")  # noqa: T201

        @seed(number)
        @settings(
            max_examples=int(seconds * 100),
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(strategy)
        def examples(value):
            # A failure is tried again by Hypothesis, whatever the time.
            if time.monotonic() > end and not failed:
                raise _TimeIsOverError
            failed.append(value)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                check(value)
            failed.clear()
            checked.append(1)

        with suppress(_TimeIsOverError):
            examples()
        print(f"{len(checked)} examples")  # noqa: T201
        assert len(checked) >= 3

    return run


def damages(*pieces):
    """Strategy of changes to bytes: a place from 0 to 1, what is done there, and with what."""
    place, piece = st.floats(0, 1), st.sampled_from(pieces)
    change = st.one_of(
        st.tuples(place, st.just("replace"), piece),
        st.tuples(place, st.just("insert"), piece),
        st.tuples(place, st.just("delete"), st.integers(1, 60).map(bytes)),
        st.tuples(place, st.just("repeat"), st.integers(1, 60).map(bytes)),
        st.tuples(place, st.just("cut"), st.just(b"")),
    )
    return st.lists(change, min_size=1, max_size=3)


def damaged(content, changes, first=0, last=None):
    """Bytes with changes between two places."""
    for place, what, piece in changes:
        at = first + int(place * max(0, (last or len(content)) - first))
        after = {
            "replace": piece + content[at + len(piece) :],
            "insert": piece + content[at:],
            "delete": content[at + len(piece) :],
            "repeat": content[at : at + len(piece)] + content[at:],
            "cut": b"",
        }[what]
        content = content[:at] + after
    return content


BYTES = [bytes([value]) for value in PAST]
BYTES += [int(n).to_bytes(4, "little", signed=True) for n in HEADER_NUMBERS]
BYTES += [np.float32(x).tobytes() for x in FLOATS] + [np.float64(x).tobytes() for x in FLOATS]
TEXT = [word.encode() for word in WORDS]


def result_or_error(call, *arguments):
    """What a call returns, or its error, which must be a documented one."""
    try:
        return call(*arguments)
    except BidsSpheresError as error:
        return error


def assert_documented(error):
    assert error.exit_status in set(EXIT_STATUSES) - {FAULT}
    assert "unexpected" not in error.message


def image_bytes():
    data = np.random.default_rng(2).integers(500, 1500, (6, 7, 5, 4)).astype(np.int16)
    affine = np.array([[4.0, 0, 0, -10], [0, 4, 0, -12], [0, 0, 4, -8], [0, 0, 0, 1]])
    img = nib.Nifti1Image(data, affine)
    img.header.set_slope_inter(2, 10)
    return img.to_bytes()


def means_by_hand(path):
    """Means of spheres by nibabel's reading of a file; None where rounding decides."""
    img = nib.load(path)
    data = img.get_fdata()
    data = data.reshape((*data.shape[:3], -1), order="F")
    places = np.stack(np.indices(data.shape[:3]), axis=-1)
    means = []
    for point in SEEDS:
        distance = np.linalg.norm(apply_affine(img.affine, places) - point, axis=-1)
        nearest = apply_affine(np.linalg.inv(img.affine), point)
        if (abs(distance - RADIUS) < 1e-3).any() or (abs(nearest % 1 - 0.5) < 1e-3).any():
            return None
        inside = distance <= RADIUS
        inside[(places == np.round(nearest)).all(axis=-1)] = True
        means.append(data[inside].mean(axis=0) if inside.any() else np.full(data.shape[3], np.nan))
    return np.stack(means, axis=1)


@pytest.mark.slow
def test_headers_of_images(fuzz, tmp_path):
    whole, path = image_bytes(), tmp_path / "x.nii"

    def check(changes):
        path.write_bytes(damaged(whole, changes, 0, 352))
        result = result_or_error(extract_spheres, path, SEEDS, RADIUS)
        if isinstance(result, BidsSpheresError):
            assert_documented(result)
            return
        expected = means_by_hand(path)
        if expected is not None and np.isfinite(expected).all() and abs(expected).max() < 1e30:
            np.testing.assert_allclose(result.timeseries, expected, rtol=1e-5)

    fuzz(damages(*BYTES), check)


@pytest.mark.slow
def test_gzip_streams(fuzz, tmp_path):
    path = tmp_path / "x.nii.gz"
    whole = gzip.compress(image_bytes(), mtime=0)
    path.write_bytes(whole)
    right = extract_spheres(path, SEEDS, RADIUS).timeseries

    def check(changes):
        path.write_bytes(damaged(whole, changes))
        result = result_or_error(extract_spheres, path, SEEDS, RADIUS)
        if isinstance(result, BidsSpheresError):
            assert_documented(result)
        else:
            np.testing.assert_array_equal(result.timeseries, right)

    fuzz(damages(*BYTES), check)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["affine", "field"])
def test_transforms(fuzz, tmp_path, kind):
    path = tmp_path / "x.h5"
    grid = [4, 4, 4, -30, -30, -30, 20, 20, 20, 1, 0, 0, 0, 1, 0, 0, 0, 1]
    with h5py.File(path, "w") as file:
        member = file.create_group("TransformGroup/0")
        if kind == "affine":
            member["TransformType"] = [b"AffineTransform_double_3_3"]
            member["TransformParameters"] = [1.0, 0, 0, 0, 1, 0, 0, 0, 1, 4, 5, 6]
            member["TransformFixedParameters"] = [1.0, 2, 3]
        else:
            member["TransformType"] = [b"DisplacementFieldTransform_float_3_3"]
            member["TransformFixedParameters"] = np.array(grid, float)
            member.create_dataset(
                "TransformParameters", data=np.full(192, 5, "f4"), compression="gzip"
            )
    whole = path.read_bytes()

    def check(changes):
        path.write_bytes(damaged(whole, changes))
        moved = result_or_error(map_points, SEEDS, path)
        if isinstance(moved, BidsSpheresError):
            assert_documented(moved)
            return
        assert np.isfinite(moved).all()
        if kind == "affine":
            with h5py.File(path) as file:
                stored = file["TransformGroup/0"]
                numbers = stored["TransformParameters"][()].astype(float)
                centre = np.float32(stored["TransformFixedParameters"][()]).astype(float)
            flip = np.array([-1, -1, 1])
            turned = (SEEDS * flip - centre) @ numbers[:9].reshape(3, 3).T + centre + numbers[9:]
            np.testing.assert_allclose(moved, turned * flip, rtol=1e-5, atol=1e-4)

    fuzz(damages(*BYTES), check)


@pytest.mark.slow
def test_linear_transforms(fuzz, tmp_path):
    path = tmp_path / "x.txt"
    whole = (
        b"#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_float_3_3\n"
        b"Parameters: 1 0 0 0 1 0 0 0 1 4 5 6\nFixedParameters: 0 0 0\n"
    )

    def check(changes):
        path.write_bytes(damaged(whole, changes))
        moved = result_or_error(map_points, SEEDS, path)
        if isinstance(moved, BidsSpheresError):
            assert_documented(moved)
        else:
            assert np.isfinite(moved).all()

    fuzz(damages(*TEXT, *BYTES), check)


FUNC = "sub-01/func/sub-01_task-rest"
FILES = {
    "table": f"{FUNC}_desc-confounds_timeseries.tsv",
    "metadata": f"{FUNC}_desc-confounds_timeseries.json",
    "sidecar": f"{FUNC}_space-MNI152NLin2009cAsym_desc-preproc_bold.json",
    "description": "dataset_description.json",
    "seeds": "../mine.tsv",
    "seed metadata": "../mine.json",
    "strategy": "../strategy.json",
    "YAML strategy": "../strategy.yaml",
    "settings": "../settings.json",
    "YAML settings": "../settings.yaml",
    "filter": "../filter.json",
    "labels": "../labels.txt",
}
STRATEGY = {
    "name": "own",
    "motion": "basic",
    "confounds": ["white_matter"],
    "censor": {"fd_threshold": 2, "before": 1},
    "filter": {"high_pass": 0.02, "low_pass": 0.2},
}
OPTIONS = {
    "strategy": ("--strategy", "{}"),
    "YAML strategy": ("--strategy", "{}"),
    "settings": ("--config", "{}"),
    "YAML settings": ("--config", "{}"),
    "filter": ("--bids-filter-file", "{}"),
    "labels": ("--participant-label", "@{}"),
}


@pytest.fixture
def study(tiny, seeds_file, run_as_typed, tmp_path):
    """A dataset with every kind of file, and a call of the participant level about it."""
    for label in ("01", "02", "03"):
        tiny.add_run(f"sub-{label}_task-rest", n_volumes=45)
    contents = {
        "metadata": json.dumps({"cosine00": {"Key": [1, 2.5, None]}}),
        "seed metadata": json.dumps({"Space": "MNI152NLin2009cAsym", "Atlas": "mine"}),
        "strategy": json.dumps(STRATEGY),
        "YAML strategy": "name: own\nmotion: full\nconfounds: [csf]\ncensor: {fd_threshold: 2}\n",
        "settings": json.dumps({"radius": [4, 6], "strategy": ["simple"], "overlap": "nearest"}),
        "YAML settings": "radius: [4]\nstrategy:\n- simple\n",
        "filter": json.dumps({"bold": {"task": "rest"}}),
        "labels": "01\nsub-02\n",
    }
    for name, text in contents.items():
        (tiny.root / FILES[name]).resolve().write_text(text)

    def call(level, *options):
        common = (tiny.root, tmp_path / "out", level, "--seeds", seeds_file, "-q")
        return run_as_typed(*common, *options)

    return tiny.root, tmp_path / "out", call


def assert_documented_end(done):
    assert done.status in ({0} | set(EXIT_STATUSES)) - {FAULT}
    assert "unexpected" not in done.err
    assert "Traceback" not in done.err
    assert "\x1b" not in done.err
    if done.status:
        assert done.err.strip()


def same_content(one, other):
    """Whether two texts are the same JSON or, if they are none, the same but for empty lines."""
    try:
        return json.loads(one) == json.loads(other)
    except (ValueError, RecursionError):
        return False


def tables(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("sub-*/**/*.tsv"))}


@pytest.mark.slow
def test_texts_of_others(fuzz, study):
    root, out, call = study
    wholes = {name: (root / path).resolve().read_bytes() for name, path in FILES.items()}
    one = ("--participant-label", "01", "--report-level", "none")
    assert call("participant", *one).status == 0
    right = tables(out)
    for name, option in OPTIONS.items():
        options = [word.format((root / FILES[name]).resolve()) for word in option]
        assert call("participant", *options, "--dry-run").status == 0

    def check(drawn):
        name, changes = drawn
        path = (root / FILES[name]).resolve()
        path.write_bytes(damaged(wholes[name], changes))
        shutil.rmtree(out, ignore_errors=True)
        options = [word.format(path) for word in OPTIONS.get(name, ())]
        try:
            done = call("participant", *one, *options)
            assert_documented_end(done)
            if not options and same_content(path.read_bytes(), wholes[name]):
                assert (done.status, tables(out)) == (0, right)
        finally:
            path.write_bytes(wholes[name])

    fuzz(st.tuples(st.sampled_from(list(FILES)), damages(*TEXT, *BYTES)), check)


@pytest.mark.slow
def test_our_own_outputs(fuzz, study):
    _, out, call = study
    assert call("participant").status == 0
    kept = out.with_name("kept")
    shutil.copytree(out, kept)
    names = [path.relative_to(out) for path in sorted(out.rglob("*")) if path.is_file()]
    assert len(names) > 20

    def check(drawn):
        name, changes, level = drawn
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(kept, out)
        (out / name).write_bytes(damaged((kept / name).read_bytes(), changes))
        assert_documented_end(call(level))

    pieces = damages(*TEXT, *BYTES)
    levels = st.sampled_from(["participant", "group"])
    fuzz(st.tuples(st.sampled_from(names), pieces, levels), check)


@pytest.mark.slow
def test_tables_of_participants(fuzz, study, tmp_path):
    _, _, call = study
    assert call("participant", "--report-level", "none").status == 0
    path = tmp_path / "people.tsv"
    whole = b"participant_id\tage\tsite\nsub-01\t20\ta\nsub-02\t31\tb\nsub-03\t25\ta\n"

    def check(drawn):
        changes, model = drawn
        path.write_bytes(damaged(whole, changes))
        assert_documented_end(call("group", "--participants-table", path, "--model", model))

    models = st.sampled_from(["age", "site", "mean_fd", "C(age)", "poly(age, 2)", "log(age) - 1"])
    fuzz(st.tuples(damages(*TEXT, *BYTES), models), check)
