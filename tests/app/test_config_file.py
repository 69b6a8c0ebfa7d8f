"""Files of options, and which options of a call were typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bids_spheres.app.config_file import option_words, typed_options, with_config
from bids_spheres.app.parser import main_parser
from bids_spheres.errors import DataError, MissingInputError, UsageError

CALL = ["in", "out", "participant"]


@pytest.fixture
def parsed(tmp_path):
    """Options of a call with a file of this content, after typed words."""

    def call(content, *typed, name="options.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        parser = main_parser()
        return parser.parse_args(with_config(parser, [*typed, "--config", str(path)]))

    return call


def test_values_of_every_kind(parsed):
    content = {
        "bids_dir": "in",
        "output-dir": "out",
        "analysis_level": "participant",
        "verbose": 2,
        "detrend": False,
        "full-length": True,
        "explain": False,
        "seed_maps": True,
        "radius": [4, 6.5],
        "min_dof": 7,
        "seeds": ["-1,2,3", "a.tsv"],
        "run": [],
        "atlas": None,
        "_remark": {"a": 1},
        "task_label": "rest",
    }
    options = parsed(content)
    assert (options.bids_dir, options.output_dir) == (Path("in"), Path("out"))
    assert (options.verbose, options.detrend, options.full_length) == (2, False, True)
    assert (options.explain, options.seed_maps) == (False, ["all"])
    assert (options.radius, options.min_dof) == ([4.0, 6.5], 7)
    assert options.seeds == ["-1,2,3", Path("a.tsv")]
    assert (options.run, options.atlas, options.task_label) == ([], [], ["rest"])


def test_what_is_off_is_not_on(parsed):
    options = parsed({"seed_maps": False, "full_length": False, "detrend": True}, *CALL)
    assert (options.seed_maps, options.full_length, options.detrend) == ([], False, True)


def test_typed_options_count_more_in_either_spelling(parsed):
    content = {"min-dof": 7, "bids_dir": "other", "nprocs": 2, "fd_threshold": 0.4}
    options = parsed(content, *CALL, "--min_dof=9", "--fd-threshold", "0.3")
    assert (options.min_dof, options.nprocs, options.fd_threshold) == (9, 2, 0.3)
    assert options.bids_dir == Path("in")


def test_which_options_were_typed():
    parser = main_parser()
    words = [*CALL, "-v", "--min-dof=3", "--full_length", "--no-detrend", "--seeds", "a"]
    expected = {"bids_dir", "output_dir", "analysis_level"}
    named = {"verbose", "min_dof", "full_length", "detrend", "seeds"}
    assert typed_options(parser, words) == expected | named
    assert typed_options(parser, words[3:]) == named
    assert typed_options(parser, []) == set()


@pytest.mark.parametrize("name", ["help", "help_all", "version", "config", "strtegy"])
def test_what_is_no_option_of_a_file(parsed, name):
    with pytest.raises(UsageError, match=rf"options\.json: '{name}' is no option\."):
        parsed({name: "x"}, *CALL)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"full_length": "yes"}, "full_length must be true or false, not 'yes'."),
        ({"radius": [[1]]}, "radius can't be [[1]]."),
        ({"min_dof": True}, "min_dof can't be True."),
        ({"radius": {"a": 1}}, "radius can't be {'a': 1}."),
    ],
)
def test_values_that_an_option_can_not_have(tmp_path, content, message):
    path = tmp_path / "o.json"
    with pytest.raises(UsageError) as caught:
        option_words(main_parser(), content, path)
    assert caught.value.message == f"{path}: {message}"


def test_files_that_are_yaml_or_no_options_or_not_there(parsed, tmp_path):
    assert parsed("min-dof: 4\n", *CALL, name="o.YML").min_dof == 4
    assert parsed('{"min-dof": 5}', *CALL, name="o.JSON").min_dof == 5
    for content in ("[1]", "1: a\n"):
        with pytest.raises(DataError, match="must hold options by their names"):
            parsed(content, *CALL, name="o.yaml")
    parser = main_parser()
    words = [*CALL, "--config", str(tmp_path / "none.json")]
    with pytest.raises(MissingInputError, match="There is no configuration file"):
        with_config(parser, words)
    assert with_config(parser, CALL) == CALL
