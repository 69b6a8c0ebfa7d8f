"""Columns, values and volumes are nilearn's, on every real table and for a grid of options."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nilearn.interfaces.fmriprep.load_confounds_scrub import optimize_scrub

from bids_spheres.confounds.design import short_segments
from bids_spheres.confounds.strategy import Censor, CompCor, Strategy
from bids_spheres.confounds.strategy_file import load_strategy
from bids_spheres.errors import DataError

TABLES = [
    "mini-run-1",
    "mini-run-2",
    "1.4-aroma",
    "1.4-steady",
    "20.2.1-run-01",
    "20.2.1-run-02",
    "21",
    "21-90-rows",
]
DESCRIBED = ["mini-run-1", "mini-run-2", "1.4-aroma", "21"]
"""Tables with the JSON file that nilearn needs for CompCor."""
FORMS = ["basic", "power2", "derivatives", "full"]
KINDS = [
    "anat_combined",
    "anat_separated",
    "temporal",
    "temporal_anat_combined",
    "temporal_anat_separated",
]


def differences(table, cases, same_as_nilearn):
    """What differs, over cases of (our strategy, nilearn's options); both may refuse."""
    found = []
    for strategy, options in cases:
        try:
            theirs = table.nilearn(**options)
        except (ValueError, KeyError):
            with pytest.raises(DataError):
                table.design(strategy)
            continue
        if reason := same_as_nilearn(table.design(strategy), *theirs):
            found.append((options, reason))
    return found


def components(**forms):
    """The same components for us and for nilearn."""
    options = {key: form for key, form in forms.items() if form}
    kept = {key: form for key, form in options.items() if key != "high_pass"}
    return Strategy("a", "", **options), {"strategy": tuple(options), **kept}


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_motion_tissues_global_signal_and_high_pass(real_table, same_as_nilearn, name):
    cases = [components(**{key: form}) for key in ("motion", "wm_csf") for form in FORMS]
    cases += [
        components(motion=form, wm_csf=form2, global_signal=form3, high_pass=high_pass)
        for form, form2, form3, high_pass in [
            ("basic", None, "full", False),
            ("power2", "full", "basic", True),
            ("derivatives", "power2", "power2", False),
            ("full", "derivatives", "derivatives", True),
            (None, "basic", None, True),
            (None, None, None, True),
        ]
    ]
    assert differences(real_table(name), cases, same_as_nilearn) == []


@pytest.mark.parametrize("name", DESCRIBED)
def test_compcor(real_table, same_as_nilearn, name):
    cases = [
        (
            Strategy("a", "", compcor=CompCor(kind, n), high_pass=True),
            {"strategy": ("high_pass", "compcor"), "compcor": kind, "n_compcor": n},
        )
        for kind, n in itertools.product(KINDS, ["all", 1, 5, 1000])
    ]
    assert differences(real_table(name), cases, same_as_nilearn) == []


@pytest.mark.parametrize("name", ["1.4-aroma", "1.4-steady", "21"])
@pytest.mark.parametrize("form", ["basic", "full"])
def test_ica_aroma(real_table, same_as_nilearn, name, form):
    ours = Strategy("a", "", wm_csf="basic", high_pass=True, ica_aroma=form)
    theirs = {"strategy": ("wm_csf", "high_pass", "ica_aroma"), "ica_aroma": form}
    assert differences(real_table(name), [(ours, theirs)], same_as_nilearn) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_scrubbing(real_table, same_as_nilearn, name):
    cases = [
        (
            Strategy("a", "", global_signal="basic", censor=Censor(fd, dvars, min_segment=scrub)),
            {
                "strategy": ("global_signal", "scrub"),
                "fd_threshold": fd,
                "std_dvars_threshold": dvars,
                "scrub": scrub,
            },
        )
        for fd, dvars, scrub in itertools.product([0.1, 0.2, 0.5], [1.1, 1.5, 3], [0, 3, 5, 9])
    ]
    assert differences(real_table(name), cases, same_as_nilearn) == []


@pytest.mark.parametrize("name", TABLES)
def test_presets(real_table, same_as_nilearn, name):
    presets = {
        "simple": {"denoise_strategy": "simple"},
        "simpleGSR": {"denoise_strategy": "simple", "global_signal": "basic"},
        "scrubbing": {"denoise_strategy": "scrubbing"},
        "scrubbingGSR": {"denoise_strategy": "scrubbing", "global_signal": "basic"},
        "icaAROMA": {"denoise_strategy": "ica_aroma"},
        "24P": {"strategy": ("motion", "high_pass"), "motion": "full"},
        "27P": {"strategy": ("motion", "high_pass", "wm_csf", "global_signal")},
        "36P": {
            "strategy": ("motion", "high_pass", "wm_csf", "global_signal"),
            "wm_csf": "full",
            "global_signal": "full",
        },
        "gsrOnly": {"strategy": ("high_pass", "global_signal")},
        "none": {"strategy": ()},
    }
    if name in DESCRIBED:
        presets |= {
            "compcor": {"denoise_strategy": "compcor"},
            "compcor6": {"denoise_strategy": "compcor", "n_compcor": 6},
        }
    cases = [(load_strategy(ours), theirs) for ours, theirs in presets.items()]
    assert differences(real_table(name), cases, same_as_nilearn) == []


def test_a_table_with_missing_columns_is_refused_as_by_nilearn(real_table, same_as_nilearn):
    table = real_table("missing-columns")
    cases = [components(motion=form) for form in ("basic", "derivatives", "full")]
    assert differences(table, cases, same_as_nilearn) == []
    with pytest.raises(DataError, match=r"no columns trans_x_derivative1, .* needs for motion"):
        table.design(load_strategy("24P"))


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(1, 12))
def test_short_segments_are_those_of_nilearn(flags, min_segment):
    flags = np.array(flags)
    ours = flags | short_segments(flags, min_segment)
    theirs = np.flatnonzero(flags)
    if theirs.size:  # nilearn does not ask otherwise
        theirs = optimize_scrub(theirs, len(flags), min_segment)
    np.testing.assert_array_equal(np.flatnonzero(ours), theirs)
