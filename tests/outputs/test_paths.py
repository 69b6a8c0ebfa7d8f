"""Names of all files of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bids_spheres.engine.seeds import SeedTable
from bids_spheres.files.names import parse_name
from bids_spheres.outputs.paths import OutputPaths


def test_names_of_all_files_of_a_run():
    """Tables of a run are of no image, and those of a set of seeds of one."""
    bold = parse_name(
        "sub-1_ses-2_task-x_run-03_space-MNIInfant_cohort-2_res-2_den-91k_desc-preproc_bold.nii.gz"
    )
    paths = OutputPaths(Path("out"), bold, "median")
    seeds = SeedTable("Set", ("a",), np.zeros((1, 3)), np.ones(1), published=True, scale="6p5mm")
    run, image = (
        "sub-1_ses-2_task-x_run-03",
        "space-MNIInfant+2_atlas-Set_scale-6p5mm_res-2_den-91k",
    )
    assert paths.design("s") == Path(f"out/sub-1/ses-2/func/{run}_desc-s_design.tsv")
    assert paths.outliers("s", ".json").name == f"{run}_desc-s_outliers.json"
    names = {
        paths.spheres(seeds, ".nii.gz"): "desc-spheres_dseg.nii.gz",
        paths.uncleaned(seeds, ".json"): "stat-median_desc-raw_timeseries.json",
        paths.series(seeds, "s"): "stat-median_desc-s_timeseries.tsv",
        paths.matrix(seeds, "s", "fisherz"): "stat-fisherz_desc-s_relmat.tsv",
        paths.controls(seeds, "s", ".json"): "desc-s_controls.json",
        paths.seed_map(seeds, "PCC", "s"): "label-PCC_stat-fisherz_desc-s_boldmap.nii.gz",
    }
    assert {path.name for path in names} == {f"{run}_{image}_{end}" for end in names.values()}
    for path, end in names.items():
        assert path == Path("out/sub-1/ses-2/func") / f"{run}_{image}_{end}"
    assert paths.uri(paths.design("s")) == f"bids::sub-1/ses-2/func/{run}_desc-s_design.tsv"
