"""Files of TemplateFlow: in the home, to download, and not to be had."""

from __future__ import annotations

import os
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
import requests
from nibabel.affines import apply_affine
from scipy.ndimage import map_coordinates

from bids_spheres.errors import MissingInputError
from bids_spheres.spaces.itk import move_points
from bids_spheres.spaces.templates import (
    template_atlas,
    template_home,
    template_mask,
    template_transform,
)


def map_points(points, path):
    """Coordinates of points that went through one file."""
    return move_points(points, [path]).coordinates


FSL, ICBM = "MNI152NLin6Asym", "MNI152NLin2009cAsym"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A template home with a file of each kind, named as TemplateFlow does."""
    folder = tmp_path / "templates"
    for name in (
        f"tpl-{FSL}/tpl-{FSL}_from-{ICBM}_mode-image_xfm.h5",
        f"tpl-{FSL}/tpl-{FSL}_res-02_desc-brain_mask.nii.gz",
        "tpl-MNIInfant/cohort-2/tpl-MNIInfant_cohort-2_res-1_desc-brain_mask.nii.gz",
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"something")
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(folder))
    return folder


@pytest.fixture
def stub(home):
    """Empty file of the home: one that TemplateFlow would download."""
    path = home / f"tpl-{ICBM}" / f"tpl-{ICBM}_res-01_desc-brain_mask.nii.gz"
    path.parent.mkdir()
    path.touch()
    return path


@pytest.fixture
def templateflow_home(test_data, monkeypatch):
    """The real files of both MNI152 templates."""
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(test_data / "templateflow"))
    return test_data / "templateflow"


class Response:
    """What `requests` would bring: some bytes, and then perhaps no more."""

    status_code = 200

    def __init__(self, *parts, length=None):
        self.parts = parts
        self.headers = {"content-length": str(length or sum(map(len, parts)))}

    def iter_content(self, _size):
        yield from self.parts


@pytest.fixture
def network(monkeypatch):
    """Let `requests.get` answer what a test says; return the addresses asked for."""

    def answer(response):
        asked = []

        def get(url, **_options):
            asked.append(url)
            if isinstance(response, Exception):
                raise response
            return response

        monkeypatch.setattr("requests.get", get)
        return asked

    return answer


def run_python(code, **environment):
    """Run code in a new interpreter in which no template was asked for yet."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TEMPLATEFLOW", "XDG"))}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


ASK = """
import sys
from bids_spheres.errors import MissingInputError
from bids_spheres.spaces.templates import template_mask
try:
    print(template_mask("MNI152NLin6Asym"))
except MissingInputError as error:
    print(error)
print("templateflow" in sys.modules)
"""


def test_files_in_the_home(home):
    assert template_home() == home
    assert template_mask(FSL).relative_to(home).as_posix() == (
        f"tpl-{FSL}/tpl-{FSL}_res-02_desc-brain_mask.nii.gz"
    )
    assert template_transform(FSL, ICBM).name == f"tpl-{FSL}_from-{ICBM}_mode-image_xfm.h5"
    assert template_mask("MNIInfant+2", resolution=1).parent.name == "cohort-2"


def test_file_in_the_home_needs_no_templateflow(home):
    done = run_python(ASK, TEMPLATEFLOW_HOME=str(home))
    assert done.stdout.split() == [str(template_mask(FSL)), "False"], done.stderr


def test_nothing_heavy_is_imported_before_it_is_needed():
    done = run_python(
        "import sys, bids_spheres.spaces.placement\n"
        "print({'h5py', 'nitransforms', 'templateflow', 'bids', 'pandas'} & set(sys.modules))"
    )
    assert done.stdout.strip() == "set()", done.stderr


def test_default_home_is_not_created(tmp_path):
    done = run_python(ASK, HOME=str(tmp_path))
    assert "TEMPLATEFLOW_HOME is not set" in done.stdout, done.stderr
    assert done.stdout.split()[-1] == "False"
    assert list(tmp_path.iterdir()) == []


def test_default_home_is_used_when_it_is_there(tmp_path, monkeypatch):
    monkeypatch.delenv("TEMPLATEFLOW_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = tmp_path / "templateflow" / f"tpl-{ICBM}" / f"tpl-{ICBM}_res-02_desc-brain_mask.nii.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"something")
    assert template_mask(ICBM) == path


def test_home_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    done = run_python(ASK, TEMPLATEFLOW_HOME=str(tmp_path / "file" / "home"))
    assert "was not downloaded: Not a directory" in done.stdout, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_home_that_is_empty_is_filled_and_the_file_asked_for(tmp_path):
    block = (
        "import requests\ndef get(*a, **k): raise requests.ConnectionError\nrequests.get = get\n"
    )
    done = run_python(block + ASK, TEMPLATEFLOW_HOME=str(tmp_path / "home"))
    assert "the network could not be reached" in done.stdout, done.stderr
    assert (tmp_path / "home" / f"tpl-{FSL}").is_dir()


def test_without_a_network(stub, network):
    asked = network(requests.ConnectionError("a long text with addresses"))
    with pytest.raises(MissingInputError) as caught:
        template_mask(ICBM, resolution=1)
    assert [url.rpartition("/")[2] for url in asked] == [stub.name]
    assert stub.name in caught.value.message
    assert str(stub.parents[1]) in caught.value.message
    assert "TEMPLATEFLOW_HOME" in str(caught.value.hint)
    assert "addresses" not in str(caught.value)


def test_download(stub, network):
    network(Response(b"so", b"me"))
    assert template_mask(ICBM, resolution=1) == stub
    assert stub.read_bytes() == b"some"


def test_download_cut_short_is_not_taken_for_the_file(stub, network):
    network(Response(b"so", length=4))
    for _ in range(2):
        with pytest.raises(MissingInputError, match="was not downloaded"):
            template_mask(ICBM, resolution=1)
        assert stub.read_bytes() == b""


def test_interrupted_download_is_not_taken_for_the_file(stub, network):
    class Interrupted(Response):
        def iter_content(self, _size):
            yield b"x" * 100_000
            raise KeyboardInterrupt

    network(Interrupted(length=200_000))
    with pytest.raises(KeyboardInterrupt):
        template_mask(ICBM, resolution=1)
    assert stub.read_bytes() == b""


def test_server_that_refuses(stub, network):
    refusal = Response()
    refusal.status_code = 403
    network(refusal)
    with pytest.raises(MissingInputError, match="403"):
        template_mask(ICBM, resolution=1)
    assert stub.exists()


def test_file_that_the_home_does_not_list(home, network):
    asked = network(Response(b"never"))
    with pytest.raises(MissingInputError, match="tpl-Nowhere_res-02_desc-brain_mask"):
        template_mask("Nowhere")
    assert asked == []
    assert not (home / "tpl-Nowhere").exists()


@pytest.mark.usefixtures("templateflow_home")
@pytest.mark.parametrize("template", [FSL, ICBM])
def test_real_masks(template):
    mask = nib.load(template_mask(template))
    # Brains of both templates: between 1.7 and 2.1 litres
    assert 1.7e6 < np.count_nonzero(mask.dataobj) * 8 < 2.1e6


def values_at(image, points):
    index = apply_affine(np.linalg.inv(image.affine), points)
    return map_coordinates(np.asarray(image.dataobj, dtype=float), index.T, order=1)


def test_direction_between_the_real_templates(templateflow_home, itk_data):
    """A file named from-FSL_to-ICBM takes points of ICBM's template to FSL's.

    ITK registered one to the other for the file; a template seen through it looks like the other
    more than as it is, and less than as it is when points are taken the wrong way.
    """
    path = itk_data / f"tpl-{ICBM}_from-{FSL}_mode-image_xfm.h5"
    fsl, icbm = (
        nib.load(templateflow_home / f"tpl-{name}" / f"tpl-{name}_res-02_T1w.nii.gz")
        for name in (FSL, ICBM)
    )
    mask = nib.load(template_mask(ICBM))
    voxels = np.argwhere(np.asarray(mask.dataobj))[::7]
    points = apply_affine(mask.affine, voxels)
    shift = map_points(points, path) - points
    reference = values_at(icbm, points)
    right, none, wrong = (
        np.corrcoef(reference, values_at(fsl, points + sign * shift))[0, 1] for sign in (1, 0, -1)
    )
    assert right > none + 0.01
    assert none > wrong + 0.01
    assert np.linalg.norm(shift, axis=1).max() < 15


@pytest.fixture
def stubs(home):
    """Make empty files of the home, each below its template: what TemplateFlow would download."""

    def make(*names):
        for name in names:
            path = home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return home

    return make


def test_a_transform_is_asked_for_by_all_that_its_name_says(stubs, network):
    folder = f"tpl-{ICBM}"
    home = stubs(
        f"{folder}/{folder}_from-{FSL}_mode-image_xfm.h5",
        f"{folder}/{folder}_from-MNIOther_mode-image_xfm.h5",
        f"{folder}/{folder}_from-{FSL}_mode-points_xfm.h5",
        f"{folder}/{folder}_from-{FSL}_mode-image_other.h5",
        f"{folder}/{folder}_from-{FSL}_mode-image_xfm.txt",
    )
    asked = network(Response(b"x"))
    path = template_transform(ICBM, FSL)
    assert path == home / folder / f"{folder}_from-{FSL}_mode-image_xfm.h5"
    assert [url.rpartition("/")[2] for url in asked] == [path.name]


def test_a_mask_is_that_of_its_cohort_and_resolution(stubs, network):
    folder = "tpl-MNIInfant/cohort-3"
    stem = "tpl-MNIInfant_cohort-3_res-1_desc"
    home = stubs(
        f"{folder}/{stem}-brain_mask.nii.gz",
        f"{folder}/{stem}-brain_mask.nii",
        f"{folder}/{stem}-head_mask.nii.gz",
        f"{folder}/{stem}-brain_probseg.nii.gz",
        f"{folder}/{stem.replace('res-1', 'res-2')}-brain_mask.nii.gz",
        f"{folder}/{stem}-brain_mask.nii.gz".replace("cohort-3", "cohort-4"),
    )
    asked = network(Response(b"x"))
    assert template_mask("MNIInfant+3", resolution=1) == home / folder / f"{stem}-brain_mask.nii.gz"
    assert [url.rpartition("/")[2] for url in asked] == [f"{stem}-brain_mask.nii.gz"]
    with pytest.raises(MissingInputError, match="tpl-MNIInfant_cohort-5_res-02_desc-brain_mask"):
        template_mask("MNIInfant+5")


def test_a_mask_has_two_millimetres_by_default_with_or_without_a_zero(home):
    folder = home / f"tpl-{ICBM}"
    folder.mkdir()
    for resolution in ("1", "03", "2", "02"):
        (folder / f"tpl-{ICBM}_res-{resolution}_desc-brain_mask.nii.gz").write_bytes(b"x")
    assert template_mask(ICBM).name == f"tpl-{ICBM}_res-02_desc-brain_mask.nii.gz"
    (folder / f"tpl-{ICBM}_res-02_desc-brain_mask.nii.gz").unlink()
    assert template_mask(ICBM).name == f"tpl-{ICBM}_res-2_desc-brain_mask.nii.gz"
    assert template_mask(ICBM, 3).name == f"tpl-{ICBM}_res-03_desc-brain_mask.nii.gz"


def test_an_atlas_in_the_home_is_the_finest_of_labels_before_maps(home, network):
    asked = network(Response(b"never"))
    stem = f"tpl-{ICBM}/tpl-{ICBM}_res-{{}}_atlas-A_desc-b_{{}}.nii.gz"
    in_order = [stem.format(*x) for x in (("01", "dseg"), ("02", "dseg"), ("01", "probseg"))]
    tables = [
        f"tpl-{ICBM}/tpl-{ICBM}_atlas-A{middle}_{kind}.tsv"
        for middle in ("", "_desc-b")
        for kind in ("dseg", "probseg")
    ]
    for name in (*in_order, *tables, f"tpl-{ICBM}/tpl-{ICBM}_res-01_atlas-A_dseg.nii.gz"):
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_bytes(b"x")
    for name in in_order:
        assert template_atlas(ICBM, "A", "b") == home / name
        (home / name).unlink()
    assert template_atlas(ICBM, "A", "").name == f"tpl-{ICBM}_res-01_atlas-A_dseg.nii.gz"
    assert asked == []


@pytest.mark.parametrize(
    ("kinds", "res", "desc", "middle"),
    [
        (("dseg",), 2, "b", "_desc-b"),
        (("probseg",), 1, "", ""),
        (("dseg", "probseg"), 1, "b", "_desc-b"),
    ],
)
def test_an_atlas_is_downloaded_with_its_table(stubs, network, kinds, res, desc, middle):
    folder = f"tpl-{ICBM}/tpl-{ICBM}"
    wanted = [f"{folder}_res-0{res}_atlas-A{middle}_{kind}.nii.gz" for kind in kinds]
    tables = [f"{folder}_atlas-A{middle}_{kind}.tsv" for kind in kinds]
    home = stubs(
        *wanted,
        *tables,
        *(f"{folder}_res-0{i}_atlas-{a}_{k}.nii.gz" for i, a, k in others_of(kinds, res, middle)),
        f"{folder}_atlas-Other{middle}_dseg.tsv",
    )
    asked = network(Response(b"x"))
    path = template_atlas(ICBM, "A", desc)
    assert path == home / wanted[0]
    names = {url.rpartition("/")[2] for url in asked}
    assert names == {name.rpartition("/")[2] for name in (*tables, wanted[0])}


def others_of(kinds, res, middle):
    """Resolution, atlas and kind of images that were not asked for."""
    for kind in kinds:
        yield from ((3, f"A{middle}", kind), (1, f"B{middle}", kind), (1, "A_desc-other", kind))
        yield res + 1, f"A{middle}", kind
    yield 1, f"A{middle}", "mask"


def test_an_atlas_that_can_not_be_downloaded_is_named(stubs, network):
    stem = f"tpl-{ICBM}_res-02_atlas-Maps_desc-64_probseg.nii.gz"
    stubs(f"tpl-{ICBM}/{stem}")
    network(requests.ConnectionError())
    with pytest.raises(MissingInputError, match=f"{stem} is not in .*could not be reached"):
        template_atlas(ICBM, "Maps", "64")


def test_a_home_that_the_user_names_need_not_be_there(tmp_path, monkeypatch):
    """One by default must be; what is asked of TemplateFlow is the home and the file."""
    asked = []

    class Client:
        def __init__(self, root=None):
            self.root = root

        def get(self, template, **query):
            asked.append((self.root, template, query))
            path = self.root / f"tpl-{template}" / f"tpl-{template}_res-02_desc-brain_mask.nii.gz"
            path.parent.mkdir(parents=True)
            path.write_bytes(b"x")

    monkeypatch.setattr("templateflow.client.TemplateFlowClient", Client)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path / "new" / "home"))
    query = {"resolution": 2, "desc": "brain", "suffix": "mask", "extension": ".nii.gz"}
    assert template_mask(ICBM).is_relative_to(tmp_path / "new" / "home")
    assert asked == [(tmp_path / "new" / "home", ICBM, query)]
    monkeypatch.delenv("TEMPLATEFLOW_HOME")
    with pytest.raises(MissingInputError, match="TEMPLATEFLOW_HOME is not set"):
        template_mask(ICBM)
    default = tmp_path / "caches" / "templateflow"
    default.mkdir(parents=True)
    assert template_mask(ICBM).is_relative_to(default)
    assert [root for root, *_ in asked] == [tmp_path / "new" / "home", default]


def test_an_empty_name_of_a_home_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("TEMPLATEFLOW_HOME", "")
    assert template_home() == tmp_path / "templateflow"
    with pytest.raises(MissingInputError, match="TEMPLATEFLOW_HOME is not set"):
        template_mask(ICBM)
