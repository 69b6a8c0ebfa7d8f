"""The version of a working copy."""

from __future__ import annotations

from bids_spheres.process import versions


def test_names_and_all_files_of_the_package_are_in_its_version(monkeypatch, tmp_path):
    package = tmp_path / "package"
    (package / "data").mkdir(parents=True)
    monkeypatch.setattr(versions, "__file__", str(package / "process" / "versions.py"))
    files = [package / "data" / "seeds.tsv", package / "b.py"]

    def digest():
        software = versions.software.__wrapped__()
        assert {*software} > {"bids-spheres", "numpy", "scipy", "nibabel", "pandas"}
        assert "Python" not in software
        return software["bids-spheres with files of digest"]

    found = [digest()]
    for text in ("1", "2"):
        for path in files:
            path.write_text(text)
            found.append(digest())
    files[1].rename(package / "c.py")
    found.append(digest())
    assert len({*found}) == len(found)
    # What Python writes beside its files says nothing of them.
    (package / "data" / "x.pyc").write_text("3")
    assert digest() == found[-1]
