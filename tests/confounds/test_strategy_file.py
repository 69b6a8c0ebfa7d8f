"""Strategies as files: every key, every mistake, and there and back."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_spheres.confounds.columns import column_names
from bids_spheres.confounds.strategy import Censor, CompCor, HeadMotion, Strategy, TemporalFilter
from bids_spheres.confounds.strategy_file import (
    load_strategy,
    override,
    strategy_from_json,
    strategy_to_json,
)
from bids_spheres.data.published import published_strategies
from bids_spheres.errors import DataError, MissingInputError, UsageError

SPECIFIED = {
    "name": "my24P",
    "description": "one sentence for the methods text",
    "confounds": ["trans_x", "^rot_[xyz](_derivative1)?$", "^cosine\\d+$"],
    "compcor": {"mask": "combined", "n": 5},
    "global_signal": "basic",
    "censor": {
        "fd_threshold": 0.3,
        "std_dvars_threshold": None,
        "before": 1,
        "after": 1,
        "min_segment": 5,
    },
    "filter": {"high_pass": 0.01, "low_pass": 0.08, "type": "butterworth"},
    "min_volumes": 100,
    "min_seconds": 240,
}
"""The example of the specification."""

AS_VALUE = Strategy(
    "my24P",
    "one sentence for the methods text",
    ("trans_x", "^rot_[xyz](_derivative1)?$", "^cosine\\d+$"),
    compcor=CompCor("anat_combined", 5),
    global_signal="basic",
    censor=Censor(0.3, None, before=1, after=1, min_segment=5),
    filter=TemporalFilter(0.01, 0.08),
    min_volumes=100,
    min_seconds=240,
)


def written(folder, content, name="mine.json"):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_the_example_of_the_specification(tmp_path):
    path = written(tmp_path, SPECIFIED)
    strategy = load_strategy(path)
    assert strategy == AS_VALUE
    assert str(strategy) == f"strategy my24P ({path})"
    assert load_strategy(str(path)) == strategy


def test_yaml_has_the_same_form(tmp_path):
    text = """
name: my24P
description: one sentence for the methods text
confounds: [trans_x, '^rot_[xyz](_derivative1)?$', '^cosine\\d+$']
compcor: {mask: combined, n: 5}
global_signal: basic
censor:
  fd_threshold: 0.3
  std_dvars_threshold: null
  before: 1
  after: 1
  min_segment: 5
filter: {high_pass: 0.01, low_pass: 0.08, type: butterworth}
min_volumes: 100
min_seconds: 240
"""
    for name in ("mine.yml", "mine.yaml", "MINE.YML"):
        assert load_strategy(written(tmp_path, text, name)) == AS_VALUE


def test_yaml_without_pyyaml_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(DataError, match="needs the package PyYAML") as error:
        load_strategy(written(tmp_path, "name: a", "mine.yml"))
    assert "pip install pyyaml" in error.value.hint


@pytest.mark.parametrize("name", published_strategies())
def test_published_strategies_have_the_form_of_a_users(name, tmp_path):
    strategy = load_strategy(name)
    assert (strategy.name, strategy.source) == (name, "")
    assert strategy.description.endswith(".")
    content = strategy_to_json(strategy)
    assert load_strategy(written(tmp_path, content)) == strategy
    assert strategy_from_json(content, "here") == strategy


def test_numbers_of_scrubbing_are_stated():
    assert strategy_to_json(load_strategy("scrubbing"))["censor"] == {
        "fd_threshold": 0.5,
        "std_dvars_threshold": 1.5,
        "before": 0,
        "after": 0,
        "min_segment": 5,
        "rmsd_threshold": None,
        "combine": "any",
    }


@pytest.mark.parametrize(
    ("name", "bold"),
    [
        ("simple", ("preproc",)),
        ("aroma", ("preproc",)),
        ("icaAROMA", ("smoothAROMAnonaggr", "nonaggrDenoised")),
    ],
)
def test_the_bold_file_is_part_of_the_strategy(name, bold):
    assert load_strategy(name).bold_kinds == bold


def test_bold_by_default_and_by_name():
    assert Strategy("a", "", tedana="aggressive").bold_kinds == ("optcom",)
    assert Strategy("a", "", ica_aroma="full").bold_kinds == load_strategy("icaAROMA").bold
    one = strategy_from_json({"name": "a", "bold": "nonaggrDenoised"}, "here")
    several = strategy_from_json({"name": "a", "bold": ["optcom", "preproc"]}, "here")
    assert (one.bold_kinds, several.bold_kinds) == (("nonaggrDenoised",), ("optcom", "preproc"))


def test_columns_for_a_list():
    strategy = replace(AS_VALUE, wm_csf="derivatives", ica_aroma="basic", tedana="orthogonal")
    assert column_names(strategy) == (
        "cosine*",
        "csf",
        "csf_derivative1",
        "white_matter",
        "white_matter_derivative1",
        "global_signal",
        "a_comp_cor_* (combined, first 5)",
        "aroma_motion_*",
        "rejected_orth_ICA_*",
        *AS_VALUE.confounds,
    )
    assert column_names(load_strategy("none")) == ()
    assert column_names(load_strategy("36P"))[0] == "cosine*"
    assert len(column_names(load_strategy("36P"))) == 1 + 36
    filtered = replace(load_strategy("36P"), filter=TemporalFilter(0.01))
    assert len(column_names(filtered)) == 36
    assert column_names(load_strategy("compcor"))[-1] == "a_comp_cor_* (combined, all)"


def test_null_is_the_same_as_no_key():
    content = {"high_pass": 0.01, "low_pass": None, "type": "cosine", "order": None}
    strategy = strategy_from_json({"name": "a", "motion": None, "filter": content}, "here")
    assert strategy == Strategy("a", "", filter=TemporalFilter(0.01, type="cosine"))


# What a file can't hold


@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        ({"confunds": []}, r"unknown key confunds\.\n  hint: Did you mean confounds\?"),
        ({"zzz": 1}, r"unknown key zzz\.\n  hint: The keys are: name, description, "),
        ({"scrub": 5}, r"unknown key scrub\.\n  hint: .*censor\.min_segment here"),
        ({"fd_threshold": 0.2}, r"unknown key fd_threshold\.\n  hint: .*censor\.fd_threshold"),
        ({"censor": {"fd": 1}}, r"unknown key censor\.fd\.\n  hint: The keys are: fd_threshold, "),
        ({"filter": {"highpass": 1}}, r"unknown key filter\.highpass\.\n.* high_pass\?"),
        ({"compcor": {"mask": "WM", "num": 1}}, r"unknown key compcor\.num"),
        ({"name": "my-24P"}, "name must be letters .a-z. and digits only.*, not 'my-24P'"),
        ({"name": "größe"}, "name must be letters"),
        ({"name": ""}, "name must be letters"),
        ({"name": 24}, "name must be letters .* not 24"),
        ({"name": None}, "the strategy has no name"),
        ({"description": 3}, "description must be a text, not 3"),
        ({"confounds": "trans_x"}, "confounds must be a list of column names, not 'trans_x'"),
        ({"confounds": [1]}, "confounds must be a list of column names"),
        ({"confounds": [""]}, "confounds must be a list of column names"),
        ({"confounds": [r"^(\w+_?)*$"]}, r"pattern .* in confounds repeats a group"),
        ({"confounds": ["^("]}, r"pattern '\^\(' in confounds is not a regular expression"),
        ({"motion": "all"}, "motion must be one of basic, power2, derivatives, full, not 'all'"),
        ({"wm_csf": True}, "wm_csf must be one of"),
        ({"wm_csf": ["basic"]}, "wm_csf must be one of"),
        ({"global_signal": "Basic"}, "global_signal must be one of"),
        ({"high_pass": 0.01}, 'high_pass must be true, false or "unless_filtered", not 0.01'),
        ({"compcor": {"n": 5}}, 'compcor must be an object with a "mask"'),
        ({"compcor": 5}, "compcor must be an object with keys and values, not 5"),
        ({"compcor": {"mask": "GM"}}, "compcor.mask must be one of combined, separated, anat_"),
        ({"compcor": {"mask": "WM", "n": 0}}, 'compcor.n must be a whole number above 0, or "all"'),
        ({"compcor": {"mask": "WM", "n": 0.5}}, "compcor.n must be"),
        ({"compcor": {"mask": "WM", "n": True}}, "compcor.n must be"),
        ({"compcor": {"mask": "WM", "n": "five"}}, "compcor.n must be"),
        ({"ica_aroma": "aggressive"}, "ica_aroma must be one of full, basic, orthogonal"),
        ({"tedana": "full"}, "tedana must be one of aggressive, orthogonal"),
        ({"tedana": "non-aggressive"}, "tedana can't be non-aggressive"),
        ({"censor": 0.5}, "censor must be an object with keys and values"),
        ({"censor": {"fd_threshold": "0.5"}}, "censor.fd_threshold must be a number .* not '0.5'"),
        ({"censor": {"fd_threshold": True}}, "censor.fd_threshold must be a number .* not True"),
        ({"censor": {"fd_threshold": -1}}, "censor.fd_threshold must be a number"),
        ({"censor": {"fd_threshold": 10**400}}, "censor.fd_threshold must be a number"),
        ({"censor": {"std_dvars_threshold": [1]}}, "censor.std_dvars_threshold must be a number"),
        ({"censor": {"before": 1.5}}, "censor.before must be a whole number"),
        ({"censor": {"after": -1}}, "censor.after must be a whole number"),
        ({"censor": {"min_segment": False}}, "censor.min_segment must be a whole number"),
        ({"filter": {}}, "filter must be an object with high_pass or low_pass"),
        ({"filter": {"type": "cosine"}}, "filter must be an object with high_pass, not"),
        ({"filter": {"high_pass": 0}}, "filter.high_pass must be a frequency in Hz above 0"),
        ({"filter": {"high_pass": 0.1, "low_pass": 0.1}}, "filter must be a band with high_pass"),
        ({"filter": {"low_pass": 0.1, "type": "fir"}}, "filter.type must be one of butterworth"),
        ({"filter": {"low_pass": 0.1, "order": 0}}, "filter.order must be a whole number above 0"),
        ({"filter": {"low_pass": 0.1, "order": True}}, "filter.order must be a whole number above"),
        ({"filter": {"high_pass": 0.1, "low_pass": 0.2, "type": "cosine"}}, "filter must be with"),
        ({"filter": {"high_pass": 0.1, "order": 2, "type": "cosine"}}, "filter must be without"),
        ({"min_volumes": 10.5}, "min_volumes must be a whole number"),
        ({"min_seconds": "240"}, "min_seconds must be a number"),
        ({"bold": "preprocessed"}, "bold must be one of preproc, smoothAROMAnonaggr"),
        ({"bold": []}, "bold must be one of"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name_and_the_key(tmp_path, change, phrase):
    path = written(tmp_path, SPECIFIED | change)
    with pytest.raises(DataError, match=phrase) as error:
        load_strategy(path)
    assert str(path) in error.value.message


@pytest.mark.parametrize(
    ("name", "content", "phrase"),
    [
        ("a.json", "", "is empty"),
        ("a.yml", " \n", "is empty"),
        ("a.json", "{", "is not valid JSON"),
        ("a.json", "[1]", "its content must be an object with keys and values"),
        ("a.yml", "just words", "its content must be an object"),
        ("a.yml", "a: [", "is not YAML"),
        ("a.yml", "? [a, b]\n: c", "unknown key|not YAML"),
        ("a.yml", "1: 2", "unknown key 1"),
        ("a.yml", "# nothing\n", "its content must be an object .* not None"),
        ("a.json", '{"name": "a", "name": "b"}', "key name occurs twice"),
        ("a.json", '{"name": "a", "censor": {"after": 1, "after": 2}}', "key after occurs twice"),
        ("a.yml", "name: a\nname: b", "key name occurs twice"),
        ("a.yml", "name: a\ncensor: {after: 1, after: 2}", "key after occurs twice"),
        ("a.yml", "name: a\ncensor: &x {before: *x}", "aliases"),
        ("a.yml", "name: a\nbold: [{b: 1, b: 2}]", "key b occurs twice"),
        ("a.yml", 'name: !!python/object/apply:os.system ["true"]', "tag !!python/object/apply"),
        ("a.yml", "name: !!timestamp x", "the tag !!timestamp can't be used"),
        ("a.yml", 'name: !!int ""', "the tag !!int can't be used"),
        ("a.yml", "name: !!bool x", "the tag !!bool can't be used"),
        ("a.yml", "name: !mine x", "the tag !mine can't be used"),
        ("a.json", '{"name": "a", "min_seconds": NaN}', "min_seconds must be a number"),
        ("a.json", '{"name": "a", "min_seconds": Infinity}', "min_seconds must be a number"),
    ],
)
def test_files_that_hold_no_strategy(tmp_path, name, content, phrase):
    path = written(tmp_path, content, name)
    with pytest.raises(DataError, match=phrase) as error:
        load_strategy(path)
    assert str(path) in error.value.message


def test_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="can't be read"):
        load_strategy(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(MissingInputError, match="There is no strategy file"):
        load_strategy(tmp_path / "mine.json")


def test_a_file_with_another_ending_is_no_strategy(tmp_path):
    path = written(tmp_path, {"name": "a"}, "mine.txt")
    with pytest.raises(UsageError, match=r"mine\.txt"):
        load_strategy(path)


def test_an_unknown_strategy_lists_those_there_are():
    with pytest.raises(UsageError, match=r"named 'simpleGRS'") as error:
        load_strategy("simpleGRS")
    assert "Did you mean simpleGSR?" in str(error.value)
    assert "36P" in str(error.value)
    assert ".json, .yml, .yaml" in str(error.value)


# There and back

COUNTS = st.integers(0, 999)
NUMBERS = st.none() | st.floats(0, 1e6) | COUNTS
EXPANSIONS = st.sampled_from([None, "basic", "power2", "derivatives", "full"])
FREQUENCIES = st.floats(1e-4, 10)
ENTRIES = st.sampled_from(["csf", "rot_x", "^trans", r"^cosine\d+$"])


@st.composite
def filters(draw):
    low, high = sorted(draw(st.tuples(FREQUENCIES, FREQUENCIES).filter(lambda x: x[0] != x[1])))
    order = draw(st.integers(1, 9))
    return draw(
        st.sampled_from(
            [
                None,
                TemporalFilter(low, high, order=order),
                TemporalFilter(low, order=order),
                TemporalFilter(None, high, order=order),
                TemporalFilter(low, type="cosine"),
            ]
        )
    )


STRATEGIES = st.builds(
    Strategy,
    name=st.from_regex(r"[A-Za-z0-9]+", fullmatch=True),
    description=st.text(),
    confounds=st.lists(ENTRIES).map(tuple),
    motion=EXPANSIONS,
    wm_csf=EXPANSIONS,
    global_signal=EXPANSIONS,
    high_pass=st.booleans(),
    compcor=st.none()
    | st.builds(
        CompCor,
        st.sampled_from(["anat_combined", "temporal_anat_separated", "WM"]),
        st.just("all") | st.integers(1, 99),
    ),
    ica_aroma=st.sampled_from([None, "full", "basic", "orthogonal"]),
    tedana=st.sampled_from([None, "aggressive", "orthogonal"]),
    head_motion=st.none()
    | st.builds(
        HeadMotion,
        st.sampled_from(["gratton2020", "fair2020", "lowpass:7.5", "notch:10:20"]),
        st.just("auto") | st.floats(1, 200),
        st.booleans(),
    ),
    censor=st.builds(
        *(Censor, NUMBERS, NUMBERS, COUNTS, COUNTS, COUNTS, NUMBERS),
        st.sampled_from(["any", "all"]),
    ),
    filter=filters(),
    min_volumes=st.none() | COUNTS,
    min_seconds=NUMBERS,
    bold=st.lists(st.sampled_from(["preproc", "optcom"])).map(tuple),
    source=st.text(),
)


@given(STRATEGIES)
def test_to_json_and_back(strategy):
    text = json.dumps(strategy_to_json(strategy))
    assert strategy_from_json(json.loads(text), "elsewhere") == strategy


def test_options_change_keys_of_a_strategy():
    band = Strategy("a", "", filter=TemporalFilter(0.01, 0.1, order=2), censor=Censor(0.5, 1.5))
    changed = override(band, {"censor.std_dvars_threshold": None, "filter.low_pass": 0.08})
    assert changed.censor == Censor(0.5, None)
    assert changed.filter == TemporalFilter(0.01, 0.08, order=2)
    assert override(band, {"filter.type": "none"}).filter is None
    assert override(band, {"filter.low_pass": None, "filter.high_pass": None}).filter is None
    assert override(Strategy("a", ""), {"filter.high_pass": None}).filter is None
    cosine = override(band, {"filter.type": "cosine", "filter.low_pass": None}).filter
    assert cosine == TemporalFilter(0.01, type="cosine")
    assert override(band, {}) is band
    with pytest.raises(DataError, match="with the options given"):
        override(band, {"filter.high_pass": 0.2})


def test_what_is_wrong_with_yaml_is_one_line(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text('name: mine\nmotion: "full\n')
    with pytest.raises(DataError) as caught:
        load_strategy(path)
    assert caught.value.message == f"{path} is not YAML: found end of stream, in line 3."


@pytest.mark.parametrize(
    ("content", "accepted"),
    [
        ({"censor": {"before": 10**9 - 1}}, True),
        ({"censor": {"before": 10**9}}, False),
        ({"censor": {"fd_threshold": 0}}, True),
        ({"censor": {"fd_threshold": 9e299}}, True),
        ({"censor": {"fd_threshold": 1e300}}, False),
        ({"min_seconds": 0}, True),
        ({"head_motion": {"head_radius": 1}}, True),
        ({"head_motion": {"head_radius": 0.99}}, False),
        ({"head_motion": {"head_radius": 200}}, True),
        ({"head_motion": {"head_radius": 200.1}}, False),
        ({"head_motion": {"head_radius": "auto"}}, True),
        ({"head_motion": {"head_radius": True}}, False),
        ({"head_motion": {"filter": "lowpass:1234.123456"}}, True),
        ({"head_motion": {"filter": "lowpass:12345"}}, False),
        ({"head_motion": {"filter": "lowpass:1.1234567"}}, False),
        ({"head_motion": {"filter": "notch:10:10"}}, False),
        ({"head_motion": {"filter": "lowpass:6:7"}}, False),
        ({"head_motion": {"filter": "notch:0:7"}}, False),
        ({"task": {"model": "fir", "window": 0}}, False),
        ({"task": {"model": "fir", "window": 0.1}}, True),
        ({"task": {"model": "fir", "window": 60}}, True),
        ({"task": {"model": "fir", "window": 60.1}}, False),
        ({"filter": {"low_pass": 0.1, "order": 1}}, True),
        ({"compcor": {"mask": "separated", "n": 1}}, True),
        ({"compcor": "combined"}, True),
        ({"confounds": []}, True),
        ({"high_pass": "unless_filtered"}, True),
        ({"high_pass": "always"}, False),
        ({"name": "aB9"}, True),
        ({"name": "a b"}, False),
        ({"bold": ["preproc", "other"]}, False),
    ],
)
def test_the_last_value_that_is_accepted(content, accepted):
    if accepted:
        strategy = strategy_from_json({"name": "a", **content}, "x.json")
        back = strategy_to_json(strategy)
        assert strategy_from_json(back, "") == strategy
    else:
        with pytest.raises(DataError, match=r"x\.json: "):
            strategy_from_json({"name": "a", **content}, "x.json")


def test_defaults_of_a_file():
    content = {"compcor": "separated", "task": {"model": "hrf"}, "filter": {"low_pass": 0.1}}
    content |= {"head_motion": {"filter": "fair2020"}, "censor": {"after": 1}, "tedana": None}
    strategy = strategy_from_json({"name": "a", **content}, "x.json")
    assert (strategy.compcor.mask, strategy.compcor.n) == ("anat_separated", "all")
    assert (strategy.task.hrf, strategy.filter.order, strategy.filter.type) == (
        *("glover", 5, "butterworth"),
    )
    assert (strategy.head_motion.head_radius, strategy.head_motion.filter_regressors) == (50, False)
    assert strategy.censor == Censor(None, None, 0, 1, 0, None, "any")
    assert strategy.description == ""
    assert strategy.source == "x.json"
    fir = strategy_from_json({"name": "a", "task": {"model": "fir"}}, "").task
    assert (fir.window, fir.hrf) == (18, "glover")  # Cole et al. 2019
    motion = strategy_from_json({"name": "a", "head_motion": {"head_radius": 60}}, "").head_motion
    assert (motion.filter, motion.filter_regressors) == (None, False)
    plain = strategy_from_json({"name": "a"}, "")
    assert plain == Strategy("a", "", high_pass=False, censor=Censor())
    assert strategy_to_json(plain) == {"name": "a", "description": ""}
    assert isinstance(strategy_from_json({"name": "a", "min_seconds": 5}, "").min_seconds, float)


@pytest.mark.parametrize(("length", "shown"), [(58, "x" * 58 + "'"), (59, "x" * 56 + "...")])
def test_long_values_are_cut_in_messages(length, shown):
    with pytest.raises(DataError) as error:
        strategy_from_json({"name": "a", "bold": "x" * length}, "x.json")
    assert error.value.message.endswith(f", not '{shown}.")


def test_options_that_change_kinds_of_filters_and_inner_keys():
    band = Strategy("a", "d", filter=TemporalFilter(0.01, 0.1, order=2), source="s.json")
    changed = override(band, {"filter.type": "butterworth", "filter.order": 4})
    assert (changed.filter, changed.source) == (TemporalFilter(0.01, 0.1, order=4), "s.json")
    for order in ({}, {"filter.order": 3}):
        options = {"filter.type": "cosine", "filter.low_pass": None, **order}
        if order:
            with pytest.raises(
                DataError, match=r"s\.json with the options given: filter must be w"
            ):
                override(band, options)
        else:
            assert override(band, options).filter == TemporalFilter(0.01, type="cosine")
    with pytest.raises(DataError, match="a with the options given: filter must be an object with"):
        override(Strategy("a", ""), {"filter.type": "cosine"})
    made = override(Strategy("a", ""), {"filter.high_pass": 0.02, "censor.before": 2})
    assert (made.filter, made.censor) == (TemporalFilter(0.02), Censor(before=2))
    assert override(band, {"filter.type": "none", "filter.low_pass": 0.1}).filter is None
    assert override(band, {"filter.high_pass": None}).filter == TemporalFilter(None, 0.1, order=2)
    assert override(band, {"filter.low_pass": None}).filter == TemporalFilter(0.01, order=2)


def test_json_by_its_ending_in_any_case(tmp_path):
    """YAML can't be indented by tabs, so it is not read as that."""
    path = written(tmp_path, '{\n\t"name": "a",\n\t"motion": "full"\n}\n', "MINE.JSON")
    assert load_strategy(path) == Strategy("a", "", motion="full")


def test_regressors_that_stay_as_they_are_need_no_filter():
    content = {"name": "a", "head_motion": {"head_radius": 60, "filter_regressors": False}}
    assert strategy_from_json(content, "").head_motion == HeadMotion(head_radius=60)
