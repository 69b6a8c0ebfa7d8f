"""The call, its settings and the software on pages."""

from __future__ import annotations

import json

from bids_spheres.reports.participant.provenance import made_with, origin, software

SETTINGS = {
    "bids_dir": "/in put",
    "output_dir": "/out",
    "analysis_level": "participant",
    "strategy": ["24P", "simple"],
    "min_dof": 0,
    "despike": False,
    "fwhm": None,
    "labels": [],
    "note": "",
    "radius": [4, 5.5],
}


def test_the_call_and_its_settings(tmp_path):
    path = tmp_path / "logs" / "1_settings.json"
    shown = origin(tmp_path, path, SETTINGS, [("Results", "x 1")])
    assert shown["command"] == (
        "bids-spheres '/in put' /out participant --config /out/logs/1_settings.json"
    )
    assert shown["settings"] == [
        *[(name, SETTINGS[name]) for name in ("bids_dir", "output_dir", "analysis_level")],
        ("strategy", "24P, simple"),
        ("min_dof", "0"),
        ("despike", "false"),
        ("radius", "4, 5.5"),
    ]
    assert shown["versions"][0] == ("Results", "x 1")
    assert [what for what, _ in shown["versions"][1:]] == ["This page", "Libraries of this page"]
    some = origin(tmp_path, None, SETTINGS, (), ["radius", "note"])
    assert (some["command"], some["settings"]) == (None, [("radius", "4, 5.5")])


def test_software_of_results_and_of_their_input(tmp_path):
    for name, entries in (
        ("out", [{"Name": "bids_spheres", "Version": "0.1"}, {"Version": "9"}, "x"]),
        ("in", [{"Name": "fMRIPrep", "Version": "24"}, {"Name": "custom"}]),
    ):
        (tmp_path / name).mkdir()
        content = json.dumps({"GeneratedBy": entries})
        (tmp_path / name / "dataset_description.json").write_text(content)
    versions = software(tmp_path / "out", {"prep": tmp_path / "in"})
    assert versions == [
        ("Results", "bids_spheres 0.1"),
        ("Input prep", "fMRIPrep 24"),
        ("Input prep", "custom"),
    ]
    assert [*made_with(versions)] == [
        "Made with bids_spheres 0.1 from fMRIPrep 24 and custom output."
    ]
    assert [*made_with(versions[:1])] == ["Made with bids_spheres 0.1."]
    assert [*made_with(versions[1:])] == []
