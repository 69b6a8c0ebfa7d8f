"""What one correlation is made of, against numpy and against the file."""

from __future__ import annotations

import re

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

RADIUS = 10.0
SEEDS = {"left": (-10, 0, 0), "right": (10, 0, 0), "front": (0, 10, 4)}


@pytest.fixture
def why(run_app, tmp_path):
    """Ask for the correlation of two seeds of the first participant."""

    def call(*options, edge="left,right", participant="01"):
        words = (tmp_path / "out", "--edge", edge, "--participant", participant)
        return run_app("why", "-q", *words, *options)

    return call


@pytest.fixture
def results(run_app, tiny, seeds_file, tmp_path):
    """Results of the participant level with some options."""

    def call(*options):
        words = (tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file)
        done = run_app(*words, "--radius", RADIUS, "--report-level", "none", *options)
        assert done.status == 0, done.err

    return call


def numbers(text, pattern):
    """Numbers in the only line that a pattern matches."""
    (match,) = re.finditer(pattern, text, re.MULTILINE)
    return tuple(map(float, match.groups()))


def spheres_of(bold):
    """Centres of all voxels, mm, and which are in the mask and in each sphere."""
    img = nib.load(bold)
    mask = nib.load(str(bold).replace("desc-preproc_bold", "desc-brain_mask")).get_fdata() > 0
    ijk = np.indices(img.shape[:3]).reshape(3, -1).T
    mm = ijk @ img.affine[:3, :3].T + img.affine[:3, 3]
    inside = {n: np.linalg.norm(mm - np.array(p), axis=1) <= RADIUS for n, p in SEEDS.items()}
    return mm, mask.ravel(), inside


def test_every_number_against_numpy(why, results, tiny):
    bold = tiny.add_run()
    results("--strategy", "gsrOnly")
    done = why()
    assert done.status == 0, done.err
    data = nib.load(bold).get_fdata()
    data = data.reshape(-1, data.shape[-1])
    mm, mask, inside = spheres_of(bold)
    table = pd.read_csv(next(tiny.root.rglob("*timeseries.tsv")), sep="\t", na_values="n/a")
    trend = np.arange(len(table))
    columns = np.column_stack(
        [np.ones(len(table)), trend, table["cosine00"], table["global_signal"]]
    )
    cleaned = []
    for name in ("left", "right"):
        used = inside[name] & mask
        series = data[used].mean(axis=0)
        cleaned.append(series - columns @ np.linalg.lstsq(columns, series, rcond=None)[0])
        assert f"{name}: {used.sum()} of {inside[name].sum()} voxels within 10 mm" in done.out
        low, high = mm[used].min(axis=0), mm[used].max(axis=0)
        spans = ", ".join(f"{x} {a:g} to {b:g}" for x, a, b in zip("xyz", low, high, strict=True))
        assert f"centres: {spans} mm" in done.out
        pattern = rf"variance of {name}: (\S+) before and (\S+) after"
        expected = series.var(ddof=1), cleaned[-1].var(ddof=1)
        assert numbers(done.out, pattern) == pytest.approx(expected, rel=1e-5)
    (value,) = numbers(done.out, r"recomputed: +(\S+)$")
    assert value == pytest.approx(np.corrcoef(cleaned)[0, 1], abs=1e-9)
    assert "2 columns" in done.out
    assert "cosine00, global_signal" in done.out
    assert numbers(done.out, r"degrees of freedom: (\d+) =") == (len(table) - 4,)
    assert done.out.endswith("They are equal.\n")


def test_voxels_that_are_left_out(why, results, tiny):
    bold = tiny.add_run()
    img = nib.load(bold)
    data = img.get_fdata(dtype=np.float32)
    data[5, 8, 5] = 7  # constant, in the sphere of "front"
    nib.Nifti1Image(data, img.affine, img.header).to_filename(bold)
    mask = next(tiny.root.rglob("*brain_mask.nii.gz"))
    values = nib.load(mask).get_fdata().astype(np.uint8)
    values[:, 9:] = 0
    nib.Nifti1Image(values, img.affine).to_filename(mask)
    results("--strategy", "gsrOnly")
    done = why(edge="left,front")
    _, inside_mask, inside = spheres_of(bold)
    outside = int((inside["front"] & ~inside_mask).sum())
    assert outside > 0
    assert f"    {outside} left out: outside the mask {mask.name}\n" in done.out
    assert "    1 left out: constant, or not finite in a volume\n" in done.out
    used = int(inside["front"].sum()) - outside - 1
    assert f"front: {used} of {inside['front'].sum()} voxels" in done.out
    assert done.status == 0, done.out


def test_volumes_that_are_left_out(why, results, tiny):
    tiny.add_run()
    table = pd.read_csv(next(tiny.root.rglob("*timeseries.tsv")), sep="\t", na_values="n/a")
    moved = table["framewise_displacement"]
    limit = round(float(np.sort(moved.dropna())[-3]), 6) - 1e-6
    bold = next(tiny.root.rglob("*_bold.nii.gz"))
    results("--strategy", "gsrOnly", "--fd-threshold", limit, "--dummy-scans", 2)
    done = why()
    _, mask, inside = spheres_of(bold)
    used = (np.arange(len(table)) > 1) & ~(moved > limit).to_numpy()
    data = nib.load(bold).get_fdata().reshape(-1, len(table))
    series = data[inside["left"] & mask].mean(axis=0)[used]
    columns = [np.ones(len(table)), np.arange(len(table)), table["cosine00"]]
    columns = np.column_stack([*columns, table["global_signal"]])[used]
    left = series - columns @ np.linalg.lstsq(columns, series, rcond=None)[0]
    found = numbers(done.out, r"variance of left: (\S+) before and (\S+) after")
    assert found == pytest.approx((series.var(ddof=1), left.var(ddof=1)), rel=1e-5)
    assert f", {100 * left.var() / series.var():.0f}" in done.out.replace(" %", "")
    places = np.flatnonzero(moved > limit)
    names = " and ".join(filter(None, [", ".join(map(str, places[:-1])), str(places[-1])]))
    assert len(places) == 3
    assert f"3 left out for fd: {names}" in done.out.replace("framewise_displacement", "fd")
    assert f"{len(table) - len({0, 1, *places})} of {len(table)} volumes of 2 s" in done.out
    assert done.status == 0, done.out


@pytest.mark.parametrize(
    "options",
    [
        ("--aggregation", "median", "--standardize", "psc"),
        ("--smoothing-fwhm", 6, "--despike"),
        ("--overlap", "nearest", "--high-pass", 0.01, "--filter", "butterworth"),
        ("--connectivity", "partial", "pearson", "--equal-seconds", 60),
        ("--mask", "none", "--no-detrend", "--controls", "--placement-jitter", "2:3"),
        ("--controls", "--placement-jitter", "2:3", "--aggregation", "eigenvariate"),
    ],
    ids=lambda options: " ".join(map(str, options)),
)
def test_it_equals_the_file_whatever_the_options(why, results, tiny, options):
    tiny.add_run()
    results("--strategy", "scrubbing" if "--filter" not in options else "simple", *options)
    done = why(edge="right,front")
    assert done.status == 0, done.out + done.err
    assert "They are equal." in done.out


def test_seeds_in_the_participants_own_space(why, results, tiny, seeds_file):
    tiny.add_run(space="T1w")
    seeds_file.with_suffix(".json").write_text('{"Space": "T1w"}')
    results("--strategy", "gsrOnly", "--space", "T1w")
    done = why()
    assert done.status == 0, done.out + done.err
    assert "They are equal." in done.out


@pytest.mark.parametrize("kind", ["dseg", "probseg"])
def test_regions(why, run_app, tiny, tmp_path, kind):
    img = nib.load(tiny.add_run())
    values = np.random.default_rng(0).random((*img.shape[:3], 3))
    values = values.argmax(axis=3).astype(np.int16) if kind == "dseg" else values
    atlas = tmp_path / f"space-MNI152NLin2009cAsym_atlas-Random_{kind}.nii.gz"
    nib.Nifti1Image(values, img.affine).to_filename(atlas)
    table = "index\tname\n" + "".join(f"{i}\tR{i}\n" for i in range(1 if kind == "dseg" else 0, 3))
    atlas.with_name(atlas.name.replace(".nii.gz", ".tsv")).write_text(table)
    words = (tiny.root, tmp_path / "out", "participant", "--parcellation", atlas)
    assert run_app(*words, "--strategy", "gsrOnly", "--report-level", "none").status == 0
    done = why(edge="R1,R2")
    assert done.status == 0, done.out + done.err
    series = {"dseg": "mean of the voxels", "probseg": "signals of all maps together"}
    assert f"  series: {series[kind]}" in done.out
    assert re.search(r"R1: \d+ of \d+ voxels in it are used", done.out)


def test_a_changed_image_is_told(why, results, tiny):
    bold = tiny.add_run()
    results("--strategy", "gsrOnly")
    img = nib.load(bold)
    data = img.get_fdata(dtype=np.float32)
    data += np.random.default_rng(1).standard_normal(data.shape).astype(np.float32)
    nib.Nifti1Image(data, img.affine, img.header).to_filename(bold)
    done = why()
    assert done.status == 1
    (value,), (written,) = (numbers(done.out, rf"{s}: +([-.\d]+)") for s in ("recomputed", "file"))
    assert f"They differ by {value - written:.3g}." in done.out
    assert "made of inputs that have changed; the next call makes them again." in done.out


def test_of_several_correlations_one_has_to_be_named(why, results, tiny):
    tiny.add_run("sub-01_task-rest_run-1")
    tiny.add_run("sub-01_task-rest_run-2")
    results("--strategy", "gsrOnly", "none")
    done = why()
    assert done.status == 2
    assert "4 correlations of left,right match." in done.err
    assert "hint: Choose one: --run 1 or 2; --strategy gsrOnly or none." in done.err
    chosen = ("--run", "02", "--strategy", "gsronly", "--seed-set", "mine", "--radius", 10)
    done = why(*chosen)
    assert done.status == 0, done.err
    assert "run-2_space" in done.out.splitlines()[0]
    assert "desc-gsrOnly_relmat.tsv" in done.out.splitlines()[0]
    done = why("--run", "3")
    assert done.status == 18
    assert "No matrix has run-3.\n  hint: Available: run-1 and run-2." in done.err
    assert "Available: ses-(none)." in why("--run", "1", "--session", "pre").err
    assert "Available: scale-10mm." in why("--run", "1", "--radius", "99").err
    done = why(*chosen, edge="left,rigth")
    assert done.status == 2
    assert "Did you mean right?" in done.err


@pytest.mark.parametrize("name", ["partial", "spearman", "ledoit-wolf", "covariance", "fisher-z"])
def test_other_measures_than_pearsons(why, results, tiny, tmp_path, name):
    tiny.add_run()
    results("--strategy", "gsrOnly", "--connectivity", name)
    done = why("--connectivity", name.upper())
    assert done.status == 0, done.out + done.err
    (path,) = (tmp_path / "out" / "sub-01").rglob("*_relmat.tsv")
    matrix = pd.read_csv(path, sep="\t", na_values="n/a", index_col=0)
    shown = numbers(done.out, r"recomputed: +(\S+)$"), numbers(done.out, r"in the file: (\S+),")
    assert shown[0] == shown[1] == pytest.approx((matrix.loc["left", "right"],), rel=1e-9)
    assert why().out == done.out  # the only measure that there is


def test_pearsons_is_explained_unless_another_measure_is_named(why, results, tiny):
    tiny.add_run()
    results("--strategy", "gsrOnly", "--connectivity", "spearman", "pearson", "partial")
    done = why()
    assert done.status == 0, done.err
    assert "stat-pearsoncorrelation" in done.out.splitlines()[0]
    assert "stat-partialcorrelation" in why("--connectivity", "partial").out.splitlines()[0]
    done = why("--connectivity", "covariance")
    assert done.status == 18
    assert "No matrix has stat-covariance." in done.err
    assert "Did you mean partial?" in why("--connectivity", "partal").err


def test_without_pearsons_one_of_several_measures_has_to_be_named(why, results, tiny):
    tiny.add_run()
    results("--strategy", "gsrOnly", "--connectivity", "spearman", "partial")
    assert "hint: Choose one: --connectivity partial or spearman." in why().err


def test_columns_are_told_by_the_tables_that_they_are_of(why, results, tiny, tmp_path):
    tiny.add_run()
    table = pd.read_csv(next(tiny.root.rglob("*timeseries.tsv")), sep="\t", na_values="n/a")
    folder = tmp_path / "physio" / "sub-01" / "func"
    folder.mkdir(parents=True)
    events = pd.DataFrame({"onset": [4.0, 30.0], "duration": 2.0, "trial_type": "face"})
    events.to_csv(folder / "sub-01_task-rest_events.tsv", sep="\t", index=False)
    for desc in ("belt", "gas"):
        own = pd.DataFrame({desc: np.random.default_rng(len(desc)).standard_normal(len(table))})
        own.to_csv(folder / f"sub-01_task-rest_desc-{desc}_timeseries.tsv", sep="\t", index=False)
    strategy = tmp_path / "mine.json"
    strategy.write_text(
        '{"name": "mine", "description": "x.", "global_signal": "basic", "confounds": ["belt"], '
        '"task": {"model": "hrf", "hrf": "glover"}}'
    )
    results("--strategy", strategy, "-d", f"physio={tmp_path / 'physio'}")
    tables = [f"sub-01_task-rest_desc-{desc}_timeseries.tsv" for desc in ("confounds", "belt")]
    names = "global_signal, physio.belt, task.face"
    expected = f"\n  3 columns of {', '.join(tables)} and sub-01_task-rest_events.tsv: {names}\n"
    assert expected in why().out
    alone = tmp_path / "alone.json"
    alone.write_text('{"name": "alone", "description": "x.", "task": {"model": "fir"}}')
    results("--strategy", alone, "-d", f"physio={tmp_path / 'physio'}")
    assert " columns of sub-01_task-rest_events.tsv: task.face_" in why("--strategy", "alone").out


def test_runs_in_two_directions_are_told_apart(why, results, tiny):
    for direction in ("AP", "PA"):
        tiny.add_run(f"sub-01_task-rest_dir-{direction}_run-1")
    results("--strategy", "none")
    assert "hint: Choose one: --direction AP or PA." in why().err
    done = why("--direction", "PA")
    assert done.status == 0, done.err
    assert "task-rest_dir-PA_run-1" in done.out.splitlines()[0]


def test_results_of_earlier_calls_with_other_settings(why, results, tiny):
    tiny.add_run()
    results("--strategy", "gsrOnly")
    results("--strategy", "none", "--atlas", "Raichle2011")
    done = why("--strategy", "gsrOnly")
    assert done.status == 0, done.err
    assert why("--strategy", "none", "--seed-set", "mine").status == 0


def test_what_is_not_there(why, results, tiny, tmp_path):
    assert why().status == 66
    tiny.add_run()
    results("--strategy", "gsrOnly")
    done = why(participant="02")
    assert done.status == 66
    assert "has no correlations of the runs of sub-02" in done.err
    for record in (tmp_path / "out" / "logs").glob("*_settings.json"):
        record.unlink()
    done = why()
    assert done.status == 66
    assert "No call on record in" in done.err


def test_a_sphere_without_a_series_has_no_correlation(why, results, tiny):
    tiny.add_run()
    results("--strategy", "gsrOnly")
    done = why(edge="left,far")
    assert done.status == 0, done.err
    assert re.search(r"recomputed: +n/a\n", done.out)
    assert "left out: outside the image" in done.out


def test_what_has_to_be_named(run_app, tmp_path):
    done = run_app("why", tmp_path)
    assert done.status == 2
    assert "required: --edge, --participant\n  hint: bids-spheres why --help lists" in done.err


def test_voxels_that_another_seed_takes(why, results, tiny):
    bold = tiny.add_run()
    path = next(tiny.root.rglob("*brain_mask.nii.gz"))
    img = nib.load(path)
    values = img.get_fdata().astype(np.uint8)
    values[4, 7, 5] = 0  # a voxel of the sphere of "front" that is nearer to "left"
    nib.Nifti1Image(values, img.affine).to_filename(path)
    results("--strategy", "gsrOnly", "--overlap", "nearest")
    done = why(edge="front,left")
    assert done.status == 0, done.out
    mm, mask, inside = spheres_of(bold)
    far = [np.linalg.norm(mm - np.array(place), axis=1).round(9) for place in SEEDS.values()]
    owner = np.where([*inside.values()], far, np.inf).argmin(axis=0)
    expected = [
        int((inside[name] & mask & (owner != number)).sum())
        for name, number in (("front", 2), ("left", 0))
    ]
    assert expected[0] != expected[1]
    assert (inside["front"] & ~mask & (owner != 2)).any()
    shown = re.findall(r"^    (\d+) left out: nearer to another seed$", done.out, re.MULTILINE)
    assert list(map(int, shown)) == expected


def test_matrices_of_several_runs_together_are_not_explained(why, results, tiny):
    for run in "12":
        tiny.add_run(f"sub-01_task-rest_run-{run}")
    results("--strategy", "none", "--concatenate", "session", "--effective-dof")
    assert "2 correlations of left,right match." in why().err
    assert why("--run", "2").status == 0


def test_records_of_other_participants_and_of_the_group_are_not_those_of_the_run(
    why, results, run_app, tiny, tmp_path
):
    for label in ("01", "02", "03"):
        tiny.add_run(f"sub-{label}_task-rest")
    results("--strategy", "none")
    results("--strategy", "none", "--no-detrend", "--participant-label", "02", "03")
    group = (tiny.root, tmp_path / "out", "group", "--participant-label", "02", "03")
    assert run_app(*group).status == 0
    for participant in ("01", "sub-02"):
        done = why(participant=participant)
        assert done.status == 0, done.out + done.err
    assert "linear trend: kept" in done.out


def test_a_call_whose_files_are_gone_is_passed_over(why, results, tiny, tmp_path):
    tiny.add_run()
    results("--strategy", "none")
    other = tmp_path / "other.tsv"
    other.write_text("name\tx\ty\tz\nlow\t0\t-10\t-6\nback\t4\t-12\t2\n")
    results("--strategy", "none", "--seeds", other)
    other.unlink()
    assert why().status == 0
    done = why(edge="low,back")
    assert done.status == 66
    assert "other.tsv" in done.err


def test_what_an_excluded_run_or_one_without_its_table_says(why, results, tiny):
    tiny.add_run()
    results("--strategy", "gsrOnly", "--min-dof", 37)
    done = why()
    assert done.status == 0, done.out
    assert "  EXCLUDED, all is n/a: 36 degrees of freedom, fewer than 37" in done.out
    assert "variance of" not in done.out
    assert re.search(r"recomputed: +n/a\n", done.out)
    next(tiny.root.rglob("*_desc-confounds_timeseries.tsv")).unlink()
    done = why()
    assert done.status == 66
    assert "No confounds table belongs to" in done.err
