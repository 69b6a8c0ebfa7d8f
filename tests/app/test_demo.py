"""The demonstration: what is called, what is printed, and with which status it ends."""

from __future__ import annotations

from argparse import Namespace

import pytest

from bids_spheres.app import demo


@pytest.mark.parametrize(
    ("failures", "problems", "status"), [([], [], 0), (["a"], [], 1), ([], ["b"], 1)]
)
def test_both_levels_are_run_on_simulated_data(
    tmp_path, monkeypatch, capsys, failures, problems, status
):
    called = []

    def participants(settings, *, debug):
        called.append((settings, debug))
        return failures

    def group(settings):
        called.append(settings)
        return problems

    monkeypatch.setattr(demo, "run_participants", participants)
    monkeypatch.setattr(demo, "run_group_level", group)
    monkeypatch.setattr(demo, "write_demo_dataset", lambda folder: called.append(folder) or "truth")
    monkeypatch.setattr(demo, "write_truth", lambda *words: called.append(words))
    monkeypatch.setattr(demo, "write_own_seeds", lambda *words: called.append(words))
    out = tmp_path / "demo"
    assert demo.run_demo(Namespace(output_dir=out, nprocs=3, debug=True)) == status
    source, truth, seeds, (first, debug), second = called
    assert (source, truth) == (out / "fmriprep", ("truth", out / "truth"))
    assert seeds == (out / "seeds" / "networks.tsv", demo.SPACE)
    assert (first.bids_dir, first.output_dir, debug) == (source, out / "bids-spheres", True)
    assert (first.analysis_level, second.analysis_level) == ("participant", "group")
    assert (first.atlas, first.seeds) == (("Power2011",), (seeds[0],))
    assert first.strategy == ("simple", "scrubbing")
    assert first.execution.nprocs == 3
    assert second.output_dir == first.output_dir
    results = out / "bids-spheres"
    places = [line.split(": ", 1)[1].strip() for line in capsys.readouterr().out.splitlines()]
    assert places == [
        *map(str, (results / "sub-01" / "func", results / "README.md", out / "truth")),
        *map(str, (results / "sub-01.html", results / "group.html")),
    ]
