"""Bad input gets no further than a message: what, where, what to do, and the status that fits.

Every case starts from a dataset of one run and from the results of an earlier call. Its builder
breaks something, and may return the arguments of the call; without them it is the usual one.
"""

from __future__ import annotations

import gzip
import json
import logging
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_spheres.errors import printable

SHAPE = (12, 12, 10)
FUNC = "sub-01/func/"
BOLD = "sub-01_task-rest_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz"
DEEP = "[" * 100_000
DIGITS = "1" + "0" * 5000  # more than Python turns into a number
ALTERNATING = np.where(np.arange(40) % 2, 1.0, -1.0)
KEY = "annex/objects/Zx/1q/MD5E-s9--0a/MD5E-s9--0a"


@dataclass(frozen=True)
class Scene:
    """A dataset of one run, seeds for it, and a folder with the results of an earlier call."""

    tmp: Path
    root: Path
    bold: Path
    seeds: Path

    @property
    def out(self):
        return self.tmp / "out"

    @property
    def description(self):
        return self.root / "dataset_description.json"

    @property
    def mask(self):
        return self.bold.with_name(self.bold.name.replace("preproc_bold", "brain_mask"))

    @property
    def sidecar(self):
        return self.bold.with_name(self.bold.name.replace(".nii.gz", ".json"))

    @property
    def confounds(self):
        return self.bold.with_name("sub-01_task-rest_desc-confounds_timeseries.tsv")

    @property
    def components(self):
        return self.confounds.with_suffix(".json")

    def call(self, *more, root=None, out=None, seeds=None):
        """Arguments of a call, some of them others than usual."""
        places = (root or self.root, out or self.out)
        told = ["participant", "--report-level", "none", "--seeds", seeds or self.seeds]
        return [*places, *told, *more]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return tmp_path_factory.mktemp("earlier") / "out"


@pytest.fixture
def scene(tiny, seeds_file, tmp_path, run_app, results, monkeypatch):
    # pytest keeps log records as they are, and can't pass on names that are no text.
    monkeypatch.setattr(logging.getLogger("bids_spheres"), "propagate", False)
    made = Scene(tmp_path, tiny.root, tiny.add_run(), seeds_file)
    if not results.exists():
        done = run_app(*made.call(out=results))
        assert done.status == 0, done.err
    shutil.copytree(results, made.out)
    return made


def contents(folder):
    """Every file and folder, links not followed: when it was changed, and what it holds."""
    found = {}
    for parent, folders, files in os.walk(folder):
        for path in (Path(parent, name) for name in (*folders, *files)):
            holds = path.readlink() if path.is_symlink() else None
            if holds is None and path.is_file():
                holds = path.read_bytes()
            found[path] = path.lstat().st_mtime_ns, holds
    return found


# Builders


def words(*more):
    """A call with further arguments, in which {tmp}, {root} and {out} are filled in."""

    def build(scene):
        places = {"tmp": scene.tmp, "root": scene.root, "out": scene.out}
        return scene.call(*(str(word).format(**places) for word in more))

    return build


def holds(place, content):
    """One of the scene's files, with other content."""

    def build(scene):
        path = getattr(scene, place)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return build


def unfetched(place, kind="link"):
    """One of the scene's files, as in a clone of a DataLad dataset."""

    def build(scene):
        path = getattr(scene, place)
        path.unlink(missing_ok=True)
        if kind == "link":
            path.symlink_to(f"../../.git/{KEY}")
        else:
            path.write_text(f"/{KEY}\n")

    return build


def gone(place):
    return lambda scene: getattr(scene, place).unlink()


def folder(place):
    def build(scene):
        getattr(scene, place).unlink(missing_ok=True)
        getattr(scene, place).mkdir()

    return build


def circle(**which):
    """A link to itself, in the place of a folder or file of the call."""

    def build(scene):
        link = scene.tmp / "circle"
        link.symlink_to(link)
        return scene.call(**{key: link / rest for key, rest in which.items()})

    return build


def header(**fields):
    """The image with other values in its header."""

    def build(scene):
        img = nib.load(scene.bold)
        changed = img.header.copy()
        changed["vox_offset"] = 352
        for name, value in fields.items():
            changed[name] = value
        voxels = np.asarray(img.dataobj, np.float32).tobytes(order="F")
        scene.bold.write_bytes(gzip.compress(changed.binaryblock + bytes(4) + voxels, 1))

    return build


def shape(*dim, **fields):
    return header(dim=[*dim, *[1] * (8 - len(dim))], **fields)


def image(place, dtype="f4", value=1, dims=(12, 12, 10, 40), shift=0):
    """An image of one value, or of one for each volume, instead of one of the scene's."""

    def build(scene):
        affine = nib.load(scene.bold).affine
        affine[:3, 3] += shift
        data = np.full(dims, value, dtype)
        nib.Nifti1Image(data, affine).to_filename(getattr(scene, place))

    return build


def packed(change):
    """Other bytes of the compressed image."""
    return lambda scene: scene.bold.write_bytes(change(scene.bold.read_bytes())) and None


def members(content):
    """The same, compressed in pieces."""
    raw = gzip.decompress(content)
    return b"".join(gzip.compress(raw[i : i + 9999]) for i in range(0, len(raw), 9999))


def bomb(scene):
    """60 MB of zeros behind a header that promises 2^62 voxels."""
    shape(4, *[2**15 - 1] * 4)(scene)
    start = gzip.decompress(scene.bold.read_bytes())[:352]
    scene.bold.write_bytes(gzip.compress(start + bytes(60_000_000), 9))


def uncompressed(scene):
    shape(4, *[2**15 - 1] * 4)(scene)
    scene.bold.with_suffix("").write_bytes(gzip.decompress(scene.bold.read_bytes()))
    scene.bold.unlink()


def table(change, encoding="utf-8"):
    """The confounds table with other text."""

    def build(scene):
        scene.confounds.write_bytes(change(scene.confounds.read_text()).encode(encoding))

    return build


def cell(text, row=5, column=0):
    """The confounds table with something else in one cell."""

    def change(content):
        lines = content.split("\n")
        cells = lines[row].split("\t")
        lines[row] = "\t".join([*cells[:column], text, *cells[column + 1 :]])
        return "\n".join(lines)

    return table(change)


def rows(pick):
    return table(lambda content: "".join(pick(content.splitlines(keepends=True))))


def seeds(content, name="s.tsv"):
    """Seeds of another file."""

    def build(scene):
        path = scene.tmp / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return scene.call(seeds=path)

    return build


def beside(content):
    """A JSON file beside the seeds."""
    return lambda scene: scene.seeds.with_suffix(".json").write_text(content) and None


def option_file(option, content, name="own.json", *more):
    """A file of the user's, named by an option."""

    def build(scene):
        text = content if isinstance(content, str) else json.dumps(content)
        (scene.tmp / name).write_text(text)
        return scene.call(option, scene.tmp / name, *more)

    return build


def strategy(content, name="own.json", *more):
    return option_file("--strategy", content, name, *more)


def described(**changes):
    """A dataset_description.json with other values; None takes a key away."""

    def build(scene):
        content = json.loads(scene.description.read_text()) | changes
        kept = {key: value for key, value in content.items() if value is not None}
        scene.description.write_text(json.dumps(kept))

    return build


def neighbour(name):
    """An empty file beside the image."""

    def build(scene):
        os.close(os.open(os.fsencode(scene.bold.parent) + b"/" + name, os.O_CREAT))

    return build


def odd_bold(task):
    return neighbour(b"sub-01_task-" + task + b"_space-T1w_desc-preproc_bold.nii.gz")


def link(path, target):
    """A link in the dataset."""
    return lambda scene: (scene.root / path).symlink_to(target)


def results_hold(name, content):
    """A file among the earlier results, with other content."""

    def build(scene):
        path = scene.out / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.write_text(content)

    return build


def at(path):
    """Results in another place, in which {tmp} and {root} are filled in."""
    return lambda scene: scene.call(out=path.format(tmp=scene.tmp, root=scene.root))


def demo_file(scene):
    (scene.tmp / "d").mkdir()
    (scene.tmp / "d" / "fmriprep").touch()


def linked_output(scene):
    (scene.tmp / "link").symlink_to(scene.root)
    return scene.call(out=scene.tmp / "link" / "out")


def renamed(name):
    """The dataset in a folder of another name."""

    def build(scene):
        new = Path(os.fsdecode(os.fsencode(scene.tmp) + b"/" + name))
        scene.root.rename(new)
        return scene.call(root=new)

    return build


def raw_above(**files):
    """A raw dataset with folders of derivatives."""

    def build(scene):
        raw = scene.tmp / "raw"
        raw.mkdir()
        for name, target in files.items():
            (raw / "derivatives" / name).mkdir(parents=True)
            (raw / "derivatives" / name / "dataset_description.json").symlink_to(target)
        (raw / "dataset_description.json").write_text('{"Name": "raw", "BIDSVersion": "1.9.0"}')
        return scene.call(root=raw)

    return build


def derivatives(content, name="{tmp}/d"):
    """Further derivatives with such a description."""

    def build(scene):
        (scene.tmp / "d").mkdir()
        (scene.tmp / "d" / "dataset_description.json").write_text(content)
        return scene.call("--derivatives", name.format(tmp=scene.tmp))

    return build


def then(*builders):
    """One after the other; the arguments are those of the last."""

    def build(scene):
        return [builder(scene) for builder in builders][-1]

    return build


def positionals_last(scene):
    return ["--atlas", "Power2011", scene.root, scene.out, "participant"]


YAML_BOMB = "name: x\na: &a {k: 1}\n" + "".join(
    f"{new}: &{new} {{{', '.join(f'{key}: *{old}' for key in 'pqrstuvwxyz')}}}\n"
    for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)
LONG = "x" * 300
HUGE = "9" * 30

DATASET = {
    "description empty": (65, "it is empty", holds("description", "")),
    "description broken": (65, "description.json is not valid JSON", holds("description", "{")),
    "description an array": (65, "must hold a JSON object, not a list", holds("description", "[]")),
    "description null": (65, "not a NoneType", holds("description", "null")),
    "description UTF-16": (65, "it is UTF-16", holds("description", "{}".encode("utf-16"))),
    "description Latin-1": (65, "byte 2 is not UTF-8", holds("description", b'{"\xfc": 1}')),
    "description nested": (65, "it is nested too deeply", holds("description", DEEP)),
    "description many digits": (65, "Exceeds the limit", holds("description", f'{{"a":{DIGITS}}}')),
    "description gone": (16, "has no dataset_description.json", gone("description")),
    "description a folder": (16, "has no dataset_description.json", folder("description")),
    "description unfetched": (66, "datalad get ", unfetched("description")),
    "description a pointer": (66, "git-annex has its name", unfetched("description", "pointer")),
    "no maker": (16, "GeneratedBy is no list of objects", described(GeneratedBy=[1])),
    "maker a dict": (16, "GeneratedBy is no list", described(GeneratedBy={"Name": "fMRIPrep"})),
    "type a number": (16, "is a raw dataset without", described(DatasetType=5)),
    "raw without derivatives": (16, "without fMRIPrep derivatives", raw_above()),
    "several derivatives": (
        *(16, "has several fMRIPrep derivatives: fmriprep, fmriprep2"),
        raw_above(fmriprep=f"../.git/{KEY}", fmriprep2=f"../.git/{KEY}"),
    ),
    "nested unfetched": (66, "datalad get ", raw_above(fmriprep=f"../.git/{KEY}")),
    "root a file": (16, "is a file; a dataset is a folder", lambda s: s.call(root=s.seeds)),
    "root gone": (66, "nowhere does not exist", lambda s: s.call(root=s.tmp / "nowhere")),
    "root in a circle": (66, "circle does not exist", circle(root="")),
    "root too long": (74, "File name too long", lambda s: s.call(root=s.tmp / LONG)),
    "root no text": (16, "has bytes that are no text", renamed(b"data\xff")),
    "no image": (16, "holds no preprocessed BOLD image", gone("bold")),
    "image a folder": (16, "holds no preprocessed BOLD image", folder("bold")),
    "derivatives gone": (66, "/nowhere does not exist", words("--derivatives", "aroma=/nowhere")),
    "derivatives unnamed": (16, "Say what it is, as in --derivatives aroma=", derivatives("{}")),
    "derivatives broken": (65, "is not valid JSON", derivatives("{", "aroma={tmp}/d")),
    "derivatives twice": (
        *(2, "are both tedana's output"),
        words("--derivatives", "tedana={root}", "tedana={tmp}"),
    ),
}

IMAGE = {
    "empty": (1, "can't be read as an image: Empty file", holds("bold", "")),
    "text": (1, "is not a gzip file", holds("bold", "an image")),
    "header alone": (
        *(1, "too small for what its header promises"),
        packed(lambda content: gzip.compress(gzip.decompress(content)[:352])),
    ),
    "cut off": (1, "the file ends early, at volume", packed(lambda content: content[:99_999])),
    "not compressed": (1, "is not a gzip file", packed(gzip.decompress)),
    "something behind": (1, "something else follows its end", packed(lambda c: c + b"garbage")),
    "one volume": (1, "has 40 rows, but the BOLD image has 1 volume", shape(3, 12, 12, 10)),
    "many volumes": (1, "but the BOLD image has 32,767 volumes", shape(4, 12, 12, 10, 2**15 - 1)),
    "dims 0": (1, "this one has shape (0,)", shape(0, 0)),
    "no volume": (1, "this one has shape (12, 12, 10, 0)", shape(4, 12, 12, 10, 0)),
    "negative": (1, "this one has shape (12, -12, 10, 40)", shape(4, 12, -12, 10, 40)),
    "2-D": (1, "a 3-D or 4-D image is needed", shape(2, 12, 12)),
    "5-D": (1, "a 3-D or 4-D image is needed", shape(5, 12, 12, 10, 8, 5)),
    "9 dims": (1, "can't be read as an image", shape(9, 12, 12, 10, 40)),
    "absurd dims": (1, "at volume 1 of 32767", shape(4, *[2**15 - 1] * 4)),
    "absurd, uncompressed": (1, "the file ends early, at volume 1 of 32767", uncompressed),
    "a bomb": (1, "too small for what its header promises", bomb),
    "large volumes": (1, "at volume 1 of 2", shape(4, 2000, 2000, 2000, 2)),
    "complex": (1, "voxels are of type complex64", image("bold", "c8")),
    "RGB": (1, "voxels are of type colours", image("bold", [(c, "u1") for c in "RGB"], 0)),
    "unknown type": (1, "data code 9999 not recognized", header(datatype=9999)),
    "sform NaN": (1, "bold.nii.gz: The affine", header(srow_x=[np.nan] * 4)),
    "sform flat": (1, "has no usable sform or qform", header(srow_z=[0] * 4)),
    "sform zeros": (
        *(1, "The affine of the image can't be inverted"),
        header(srow_x=[0] * 4, srow_y=[0] * 4, srow_z=[0] * 4),
    ),
    "qform NaN": (1, "The affine", header(sform_code=0, qform_code=1, quatern_b=np.nan)),
    "qform no rotation": (1, "w2 should be", header(sform_code=0, qform_code=1, quatern_b=5)),
    "offset far": (1, "too small for what its header promises", header(vox_offset=1e30)),
    "offset NaN": (1, "cannot convert float NaN", header(vox_offset=np.nan)),
    "intercept NaN": (1, "invalid intercept", header(scl_slope=2, scl_inter=np.nan)),
    "magic": (1, "Cannot work out file type", header(magic=b"xx")),
    "huge values": (1, "has values above 1e+100", image("bold", "f8", ALTERNATING * 1e307)),
    "unfetched": (1, "datalad get ", unfetched("bold")),
    "a pointer": (1, "git-annex has its name only", unfetched("bold", "pointer")),
    "a link to nowhere": (1, "is not there", then(gone("bold"), link(FUNC + BOLD, "nowhere"))),
    "a link to itself": (1, "is not there", then(gone("bold"), link(FUNC + BOLD, BOLD))),
    "NaN": (0, "no sphere has a signal, and all outputs are n/a", image("bold", value=np.nan)),
    "constant": (0, "constant or empty there?", image("bold", value=7)),
}

MASK = {
    "no mask": (1, "No brain mask belongs to", gone("mask")),
    "text": (1, "can't be read as an image", holds("mask", "a mask")),
    "zeros": (1, "is empty: it masks all data", image("mask", "u1", 0, SHAPE)),
    "NaN": (1, "is empty: it masks all data", image("mask", "f4", np.nan, SHAPE)),
    "4-D": (1, "a mask has one volume, not 3", image("mask", "u1", 1, (*SHAPE, 3))),
    "complex": (1, "not real numbers", image("mask", "c8", 1, SHAPE)),
    "elsewhere": (0, "no sphere has a voxel in image and mask", image("mask", "u1", 1, SHAPE, 999)),
    "unfetched": (1, "datalad get ", unfetched("mask")),
    "of the user gone": (66, "--mask: the image", words("--mask", "{tmp}/none.nii")),
    "of the user text": (65, "can't be read as an image", words("--mask", "{tmp}/mine.tsv")),
}

SIDECAR = {
    "broken": (1, "bold.json is not valid JSON", holds("sidecar", "{")),
    "empty": (1, "is not valid JSON: it is empty", holds("sidecar", "")),
    "Latin-1": (1, "byte 2 is not UTF-8", holds("sidecar", b'{"\xfc": 1}')),
    "array": (1, "must hold a JSON object, not a list", holds("sidecar", "[2]")),
    "nested": (1, "it is nested too deeply", holds("sidecar", DEEP)),
    "a folder": (1, "is a folder; a JSON file is needed", folder("sidecar")),
    "unfetched": (1, "datalad get ", unfetched("sidecar")),
    "a pointer": (1, "git-annex has its name only", unfetched("sidecar", "pointer")),
    "no time": (
        1,
        "its header it is 0.0",
        then(gone("sidecar"), header(pixdim=[1, 4, 4, 4, *[0] * 4])),
    ),
    **{
        f"time {value[:12]}": (
            *(1, f"no repetition time in seconds: in its JSON file it is {shown}"),
            holds("sidecar", f'{{"RepetitionTime": {value}}}'),
        )
        for value, shown in {
            "NaN": "nan",
            "1e999": "inf",
            "0": "0",
            "-2": "-2",
            "2000": "2000",
            "true": "True",
            '"2.0"': "'2.0'",
            "[2]": "[2]",
            "1e-300": "1e-300",
            "9" * 400: "9" * 40 + ".",
        }.items()
    },
}

CONFOUNDS = {
    "gone": (1, "No confounds table belongs to", gone("confounds")),
    "empty": (1, "confounds_timeseries.tsv can't be read as a TSV table", holds("confounds", "")),
    "blank": (1, "it is empty", holds("confounds", "\n \n")),
    "header alone": (1, "has no rows", rows(lambda lines: lines[:1])),
    "too few rows": (1, "has 37 rows", rows(lambda lines: lines[:-3])),
    "too many rows": (1, "has 43 rows", rows(lambda lines: lines + lines[-3:])),
    "no header": (1, "has no header: its first row", rows(lambda lines: lines[1:])),
    "a column twice": (1, "column csf occurs twice", cell("csf", row=0)),
    "ragged": (1, "row 5 has 41 cells for 40 columns", cell("1\t1")),
    "a word": (1, "'word' in column trans_x, row 5, is not a number", cell("word")),
    "a gap": (1, "the value in column trans_x, row 5, is missing", cell("n/a")),
    "infinite": (1, "column trans_x, row 5, is too large: inf", cell("inf")),
    "huge": (1, "column trans_x, row 5, is too large: 1e+308", cell("1e308")),
    "decimal commas": (1, "Decimals are written with a point", cell("0,5")),
    "commas": (1, "has no tabs: ',' stands between", table(lambda t: t.replace("\t", ","))),
    "semicolons": (1, "has no tabs: ';' stands between", table(lambda t: t.replace("\t", ";"))),
    "UTF-16": (1, "it is UTF-16", table(str, "utf-16")),
    "Latin-1": (1, "is not UTF-8", table(lambda t: t.replace("csf", "ü", 1), "latin-1")),
    "Excel": (1, "it is an Excel, OpenDocument or zip file", holds("confounds", b"PK\x03\x04")),
    "compressed": (1, "it is compressed by gzip", holds("confounds", gzip.compress(b"a\tb"))),
    "a quotation mark": (1, "EOF inside string", cell('"trans_x', row=0)),
    "another column": (65, "Similar columns in the table: trans_xx", cell("trans_xx", row=0)),
    "a control character": (
        *(1, r"column a\x1b[2Jb occurs twice"),
        then(cell("a\x1b[2Jb", 0, 0), cell("a\x1b[2Jb", 0, 1)),
    ),
    "unfetched": (1, "datalad get ", unfetched("confounds")),
    "a pointer": (1, "git-annex has its name only", unfetched("confounds", "pointer")),
    "JSON broken": (1, "timeseries.json is not valid JSON", holds("components", "{")),
    "JSON nested": (1, "it is nested too deeply", holds("components", DEEP)),
    "JSON a folder": (1, "is a folder; a JSON file is needed", folder("components")),
    "JSON unfetched": (1, "datalad get ", unfetched("components")),
    "JSON a pointer": (1, "datalad get ", unfetched("components", "pointer")),
    "JSON of other things": (
        *(65, "has no aCompCor (combined mask) components in its JSON file"),
        then(
            holds("components", '{"a_comp_cor_00": {"Mask": [1]}}'), words("--strategy", "compcor")
        ),
    ),
    "outliers gone": (
        66,
        "outlier table or folder of such tables",
        words("--outliers", "{tmp}/none.tsv"),
    ),
    "outliers short": (1, "has 3 rows", option_file("--outliers", "0\n1\n0\n", "o.tsv")),
    "outliers words": (1, "is neither 0 nor 1", option_file("--outliers", "no\n" * 41, "o.tsv")),
    "outliers unfetched": (1, "datalad", option_file("--outliers", f"/{KEY}\n", "o.tsv")),
}

XYZ = "x,y,z\n1,2,3\n"
SEEDS = {
    "gone": (66, "The seed table", words("--seeds", "{tmp}/none.tsv")),
    "a set for a file": (66, "--atlas Power2011", lambda s: s.call(seeds="Power2011")),
    "a folder": (65, "is a folder; a seed table is needed", lambda s: s.call(seeds=s.tmp)),
    "in a circle": (74, "Too many levels of symbolic links", circle(seeds="")),
    "too long": (74, "File name too long", lambda s: s.call(seeds=s.tmp / LONG)),
    "unfetched": (66, "datalad get ", unfetched("seeds")),
    "a pointer": (66, "git-annex has its name only", unfetched("seeds", "pointer")),
    "empty": (65, "no column x, y, z (found: nothing)", seeds("")),
    "no rows": (65, "the table has no rows", seeds("x,y,z\n")),
    "a column gone": (65, "no column z (found: x, y)", seeds("x,y\n1,2\n")),
    "a column twice": (65, "more than one column x", seeds("x,y,z,X\n1,2,3,4\n")),
    "ragged": (65, "row 2 has 2 cells, the header 3", seeds(XYZ + "1,2\n")),
    "words": (65, "'two' in row 1, column 'y', is not a number", seeds("x,y,z\n1,two,3\n")),
    "decimal commas": (65, "Write decimals with a point", seeds("x;y;z\n1,5;2;3\n")),
    "thousands": (65, "'1 000' in row 1", seeds("x,y,z\n1 000,2,3\n")),
    "a gap": (65, "a coordinate is missing in row 2", seeds(XYZ + "1,,3\n")),
    "NaN": (65, "a coordinate is missing in row 1", seeds("x,y,z\nnan,2,3\n")),
    "infinite": (65, "inf in row 1 is no coordinate in mm", seeds("x,y,z\ninf,2,3\n")),
    "far away": (65, "1e+300 in row 1 is no coordinate", seeds("x,y,z\n1e300,2,3\n")),
    "other units": (0, "Are the coordinates millimetres", seeds("x,y,z\n500,2,3\n0,700,3\n")),
    "radius negative": (65, "the radius in row 1", seeds("x,y,z,radius\n1,2,3,-4\n")),
    "radius huge": (65, "not a length in mm: 1e+06", seeds("x,y,z,radius\n1,2,3,1e6\n")),
    "a tab in a name": (65, "control characters", seeds('name,x,y,z\n"a\tb",1,2,3\n')),
    "a newline in a name": (65, r"'a\nb' holds control", seeds('name,x,y,z\n"a\nb",1,2,3\n')),
    "named Node": (2, "named Node", seeds("name,x,y,z\nNode,1,2,3\n")),
    "a quotation mark": (65, "is not closed", seeds('name,x,y,z\n"a,1,2,3\nb,1,2,3\n')),
    "Latin-1": (65, "is not UTF-8", seeds("name,x,y,z\nü,1,2,3\n".encode("latin-1"))),
    "UTF-16": (65, "it is UTF-16", seeds(XYZ.encode("utf-16"))),
    "Excel": (65, "Save it as text with tabs", seeds(b"PK\x03\x04\x14\x00", "s.xlsx")),
    "old Excel": (65, "it is an Excel file", seeds(b"\xd0\xcf\x11\xe0\xa1\xb1", "s.xls")),
    "no label": (2, "No label can be made from the name", seeds(XYZ, "..tsv")),
    "no Latin label": (2, "No label can be made from the name", seeds(XYZ, "脑.tsv")),
    "a long label": (73, "The name of an output would be longer", seeds(XYZ, "a" * 240 + ".tsv")),
    "JSON broken": (65, "mine.json is not valid JSON", beside("{")),
    "JSON array": (65, "must hold a JSON object", beside("[]")),
    "JSON nested": (65, "nested too deeply", beside(DEEP)),
    "JSON many digits": (65, "Exceeds the limit", beside(f'{{"DefaultRadius": {DIGITS}}}')),
    "JSON a pointer": (66, "datalad get ", beside(f"/{KEY}\n")),
    "space a number": (65, "`Space` in the JSON file must be a name", beside('{"Space": 5}')),
    "space unknown": (2, "are in Mars space, but the images in", beside('{"Space": "Mars"}')),
    "space of folders": (2, "are in ../../x space", beside('{"Space": "../../x"}')),
    "space of others": (2, "are in fsaverage space", beside('{"Space": "fsaverage"}')),
    "default radius": (65, "`DefaultRadius` must be", beside('{"DefaultRadius": "5"}')),
}

STRATEGY = {
    "gone": (66, "The strategy file", words("--strategy", "{tmp}/none.json")),
    "a folder": (
        *(65, "is a folder; a strategy file is needed"),
        lambda s: ((s.tmp / "d.json").mkdir(), s.call("--strategy", s.tmp / "d.json"))[1],
    ),
    "unknown": (2, "no denoising strategy named 'smple'", words("--strategy", "smple")),
    "another ending": (2, "a file of your own ends in", strategy("name: x", "x.txt")),
    "empty": (65, "is empty", strategy("")),
    "array": (65, "must be an object with keys and values", strategy([])),
    "unknown key": (65, "Did you mean motion?", strategy({"name": "x", "mtoion": "full"})),
    "wrong type": (65, "motion must be one of", strategy({"name": "x", "motion": 1})),
    "a folder for a name": (65, "name must be letters", strategy({"name": "../x"})),
    "a long name": (73, "would be longer than 255 bytes", strategy({"name": LONG})),
    "a pattern": (65, "is not a regular", strategy({"name": "x", "confounds": ["^("]})),
    "no match": (0, "matches no column", strategy({"name": "x", "confounds": ["^zzz"]})),
    "nested": (65, "nested too deeply", strategy(DEEP)),
    "many digits": (65, "Exceeds the limit", strategy(f'{{"min_volumes": {DIGITS}}}')),
    "censoring all": (65, "below a billion", strategy({"name": "x", "censor": {"before": 10**30}})),
    "order": (65, "of order 99999 needs", words("--low-pass", "0.1", "--filter-order", "99999")),
    "unfetched": (66, "datalad get ", strategy(f"/{KEY}\n")),
    "YAML broken": (65, "is not YAML", strategy("a: [", "x.yml")),
    "YAML nested": (65, "nested too deeply", strategy("[" * 1000 + "]" * 1000, "x.yml")),
    "YAML date": (65, "month must be in 1..12", strategy("name: 2020-13-01", "x.yml")),
    "YAML objects": (
        65,
        "the tag !!python/object:os.x can't be used",
        strategy("!!python/object:os.x {}", "x.yml"),
    ),
    "YAML bomb": (65, "aliases (*) can't be used", strategy(YAML_BOMB, "x.yml")),
    "twice": (
        2,
        "Two strategies are named simple",
        strategy({"name": "simple"}, "a.json", "simple"),
    ),
}

OPTIONS = {
    "none": (2, "are required", lambda _: ["--quiet"]),
    "positionals last": (2, "Give them first, before all options", positionals_last),
    "level": (17, "Unknown analysis level 'grup'", lambda s: [s.root, s.out, "grup"]),
    "unknown": (2, "unrecognized arguments: --bogus", words("--bogus")),
    "config gone": (66, "There is no configuration file", words("--config", "{tmp}/none.json")),
    "config nested": (65, "nested too deeply", option_file("--config", DEEP)),
    "config bomb": (65, "aliases (*) can't be used", option_file("--config", YAML_BOMB, "x.yml")),
    "filter file": (65, "is not valid JSON", option_file("--bids-filter-file", "{")),
    "labels gone": (2, "There is no list", words("--participant-label", "@{tmp}/none.txt")),
    "participant gone": (18, "has no sub-99", words("--participant-label", "99")),
    "participant empty": (18, "has no sub-.", words("--participant-label", "")),
    "participant a path": (18, "has no sub-../x", words("--participant-label", "../x")),
    "participant a pattern": (18, "has no sub-*", words("--participant-label", "*")),
    "session": (18, "--session-label 1 leaves no run", words("--session-label", "1")),
    "task": (18, "Available: task-rest", words("--task-label", "sleep")),
    "run 0": (18, "--run 0 leaves no run", words("--run", "0")),
    "run a word": (18, "--run one leaves no run", words("--run", "one")),
    "space": (18, "Available: space-MNI152NLin2009cAsym", words("--space", "Mars")),
    "resolution": (18, "--res 9 leaves no run", words("--res", "9")),
    "connectivity": (2, "Did you mean pearson", words("--connectivity", "peason")),
    "band": (2, "high_pass below low_pass", words("--high-pass", "0.1", "--low-pass", "0.05")),
    "edge 0": (2, "must be a frequency in Hz above 0", words("--low-pass", "0")),
    "Nyquist": (65, "is not below the Nyquist frequency", words("--low-pass", "5")),
    "overlap": (1, "share voxels with others", words("--overlap", "error", "--radius", "30")),
    **{
        f"{option} {value[:12]}": (2, phrase, words(f"{option}={value}"))
        for option, value, phrase in [
            ("--radius", "5mm", "5mm is not a length in mm from 0 to 1000"),
            ("--radius", "five", "is not a length in mm"),
            ("--radius", "-3", "is not a length in mm"),
            ("--radius", "nan", "is not a length in mm"),
            ("--radius", "inf", "is not a length in mm"),
            ("--radius", "", "is not a length in mm"),
            ("--radius", "1e300", "is not a length in mm from 0 to 1000"),
            ("--smoothing-fwhm", "600", "is not a length in mm from 0 to 40"),
            ("--min-coverage", "50%", "50% is not a share from 0 to 1"),
            ("--min-coverage", "2", "is not a share from 0 to 1"),
            ("--fd-threshold", "0.5mm", "0.5mm is not a number from 0 or none"),
            ("--low-pass", "nan", "nan is not a number from 0 or none"),
            ("--min-seconds", "1e400", "is not a number from 0"),
            ("--nprocs", "0", "0 is not a whole number from 1"),
            ("--nprocs", "two", "two is not a whole number from 1"),
            ("--nprocs", DIGITS, "is not a whole number from 1"),
            ("--dummy-scans", "-1", "is not a whole number"),
            ("--censor-before", HUGE, "is not a whole number"),
            ("--filter", "fir", "invalid choice: 'fir'"),
            ("--standardize", "z", "invalid choice: 'z'"),
        ]
    },
}

OUTPUT = {
    "the input": (2, "lies in the input", at("{root}")),
    "in the input": (2, "lies in the input", at("{root}/out")),
    "in the input by dots": (2, "lies in the input", at("{tmp}/x/../fmriprep/out")),
    "in the input by a link": (2, "lies in the input", linked_output),
    "a file": (73, "is a file", at("{tmp}/mine.tsv")),
    "in a file": (73, "mine.tsv, which is a file", at("{tmp}/mine.tsv/out")),
    "a device": (73, "/dev/null is a file", at("/dev/null")),
    "in a circle": (73, "circle can't be used", circle(out="")),
    "below a circle": (73, "circle/out can't be used", circle(out="out")),
    "too long": (73, "File name too long", at(f"{{tmp}}/{LONG}")),
    "where none can be": (73, "No such file or directory", at("/proc/nowhere")),
    "another dataset": (73, "is another dataset", results_hold("dataset_description.json", "{}")),
    "damaged": (73, "is another dataset", results_hold("dataset_description.json", "{")),
    "logs a file": (73, "logs is a file where a folder is needed", results_hold("logs", "")),
    "descriptions changed": (
        65,
        "is not the table that is kept",
        results_hold("descriptions.tsv", "a"),
    ),
}

OTHER_COMMANDS = {
    "demo in a file": (73, "which is a file", lambda s: ["demo", s.seeds]),
    "demo on a file": (73, "fmriprep is a file", then(demo_file, lambda s: ["demo", s.tmp / "d"])),
    "demo in a circle": (73, "can't be used", then(circle(), lambda s: ["demo", s.tmp / "circle"])),
    "demo too long": (73, "File name too long", lambda s: ["demo", s.tmp / LONG]),
    "strategies unknown": (2, "Did you mean simple?", lambda _: ["strategies", "smple"]),
    "strategies of a file": (66, "no strategy file", lambda s: ["strategies", s.tmp / "x.json"]),
    "explain": (66, "does not exist", lambda s: s.call("--explain", root=s.tmp / "nowhere")),
    "dry run": (66, "does not exist", lambda s: s.call("--dry-run", root=s.tmp / "nowhere")),
}

ODD_BUT_GOOD = {
    "old maker a list": (
        *(0, "1 of 1 run written"),
        described(GeneratedBy=None, DatasetType=None, PipelineDescription=["fMRIPrep"]),
    ),
    "byte order mark": (
        *(0, "1 of 1 run written"),
        holds("description", b'\xef\xbb\xbf{"GeneratedBy": []}'),
    ),
    "as it is": (0, "", words()),
    "old description": (
        0,
        "",
        described(GeneratedBy=None, DatasetType=None, PipelineDescription={"Name": "fMRIPrep"}),
    ),
    "half a character": (0, "", described(Name="\ud800")),
    "HTML in the name": (0, "", described(Name="<script>alert(1)</script>\n# x")),
    "root of odd letters": (0, "", renamed(b"a b<i>&'\"(#%[x]*?\xc3\xbc")),
    "above the input": (0, "", lambda s: (shutil.rmtree(s.out), s.call(out=s.tmp))[1]),
    "output no text": (0, "", at("{tmp}/out\udcff")),
    "a circle inside": (0, "", link("sub-01/func/circle", "circle")),
    "a way back up": (0, "", link("sub-01/func/up", "../..")),
    "a task with a newline": (0, "Left out", odd_bold(b"a\nb")),
    "a task of HTML": (0, "task-<b>x", odd_bold(b"<b>x<")),
    "a task of dots": (0, "", odd_bold(b"..")),
    "a task with an umlaut": (0, "task-ü", odd_bold("ü".encode())),
    "a task that is no text": (0, r"task-\udcff", odd_bold(b"\xff")),
    "a task with an escape": (0, r"task-\x1b[2J", odd_bold(b"\x1b[2J")),
    "a task twice": (0, "has an entity twice", odd_bold(b"a_task-b")),
    "no entity": (0, "x_bold.nii.gz is not the name", neighbour(b"x_bold.nii.gz")),
    "pieces of gzip": (0, "", packed(members)),
    "qform alone": (0, "", header(sform_code=0, qform_code=1)),
    "time in the header": (0, "", gone("sidecar")),
    "JSON with a mark": (0, "", holds("sidecar", b'\xef\xbb\xbf{"RepetitionTime": 2}')),
    "confounds of Windows": (0, "", table(lambda t: t.replace("\n", "\r\n"))),
    "confounds with a mark": (0, "", table(str, "utf-8-sig")),
    "seeds between semicolons": (0, "", seeds("name;x;y;z\na;1;2;3\n")),
    "seeds between tabs": (0, "", seeds("x\ty\tz\n1\t2\t3\n", "s.csv")),
    "a label of umlauts": (0, "uberblick: 1 sphere", seeds(XYZ, "überblick.tsv")),
    "seeds of HTML": (0, "", seeds("name,x,y,z\n<script>alert(1)</script>,1,2,3\n")),
    "seeds of folders": (0, "", seeds("name,x,y,z\n../../x,1,2,3\n")),
    "seeds of umlauts": (0, "", seeds("name,x,y,z,network\nprä 🧠,1,2,3,größe\n")),
    "a misspelt column": (0, "Columns: name from nmae.", seeds("nmae,x,y,z\na,1,2,3\n")),
    "an unknown column": (
        0,
        "The column notes is not used",
        seeds("name,x,y,z,notes\na,1,2,3,b\n"),
    ),
    "an unknown key": (
        0,
        "the key space is not used. Did you mean Space?",
        beside('{"space": "T1w"}'),
    ),
    "a label that is not there": (
        0,
        "--task-label sleep: no run has it",
        words("--task-label", "rest", "sleep"),
    ),
    "strategy of half letters": (0, "", strategy({"name": "x", "description": "\ud800<i>\t"})),
}

KINDS = [
    pytest.param(*kind, id=f"{group}: {name}")
    for group, kinds in {
        "dataset": DATASET,
        "image": IMAGE,
        "mask": MASK,
        "sidecar": SIDECAR,
        "confounds": CONFOUNDS,
        "seeds": SEEDS,
        "strategy": STRATEGY,
        "options": OPTIONS,
        "output": OUTPUT,
        "commands": OTHER_COMMANDS,
        "good": ODD_BUT_GOOD,
    }.items()
    for name, kind in kinds.items()
]


@pytest.mark.slow
@pytest.mark.parametrize(("status", "phrase", "builder"), KINDS)
def test_what_happens(scene, run_app, status, phrase, builder):
    call = builder(scene) or scene.call()
    before = contents(scene.tmp)
    done = run_app(*call)
    assert done.status == status, done.err
    assert phrase in done.err
    assert_one_message(done)
    after = contents(scene.tmp)
    kept = {path for path in before if is_kept(path.relative_to(scene.tmp).parts, done.status)}
    assert {path: after.get(path) for path in kept} == {path: before[path] for path in kept}
    assert not [new for new in after.keys() - before.keys() if new.is_relative_to(call[0])]


def assert_one_message(done):
    """What went wrong is told once, in words of ours, without what would disturb a terminal."""
    lines = done.err.splitlines()
    of_call = sum(bool(re.match("bids-spheres( demo)?: error: ", line)) for line in lines)
    of_run = sum(line.startswith("ERROR sub-01 task-rest") for line in lines)
    assert (of_call, of_run) == {0: (0, 0), 1: (0, 1)}.get(done.status, (1, 0))
    assert not re.search(r"Traceback|[Uu]nexpected \w+(Error|Warning)", done.err)
    assert done.err == printable(done.err)


def is_kept(parts, status):
    """Whether a path must be as it was: inputs always, earlier results when a call fails."""
    if parts[0] != "out":
        return True
    if status in (0, 1):
        # A call in which runs fail says so in files of the whole dataset, not in those of runs.
        return status == 1 and len(parts) > 1 and parts[1] == "sub-01"
    return True


ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("locale", "folder", "status", "phrase"),
    [
        ({"LC_ALL": "C"}, "größe", 0, "sud: 2 spheres"),
        (ASCII, "plain", 0, "sud: 2 spheres"),
        (ASCII, "größe", 16, "set PYTHONUTF8=1"),
    ],
    ids=["C", "ASCII", "ASCII, umlaut in the input"],
)
def test_umlauts_in_a_locale_without_them(scene, locale, folder, status, phrase):
    root = scene.root.rename(scene.tmp / folder)
    table, out = scene.tmp / "süd.tsv", scene.tmp / "oüt"
    table.write_bytes("name\tx\ty\tz\nprä 🧠\t-10\t0\t0\nb\t10\t0\t0\n".encode())
    command = [sys.executable, "-W", "error", "-m", "bids_spheres"]
    done = subprocess.run(
        [*command, *scene.call(root=root, out=out, seeds=table)],
        capture_output=True,
        check=False,
        env={**os.environ, **locale},
    )
    told = done.stderr.decode()
    assert done.returncode == status, told
    assert phrase in told
    assert "Traceback" not in told
    if status == 0:
        (series,) = out.rglob("*_seg-sud_*_timeseries.tsv")
        assert series.read_bytes().splitlines()[0].decode() == "prä 🧠\tb"
        for path in out.rglob("*.json"):
            assert isinstance(json.loads(path.read_bytes().decode()), dict)


def test_names_of_html_stay_text(scene, run_app):
    script = "<script>alert(1)</script>"
    described(Name=script)(scene)
    lines = [f"{i}{script}\t{x}\t0\t0\t{script}" for i, x in enumerate((-10, 0, 10))]
    scene.seeds.write_text("\n".join(["name\tx\ty\tz\tnetwork", *lines]) + "\n")
    own = {"name": "own", "description": script, "motion": "basic"}
    shutil.rmtree(scene.out)
    done = run_app(*strategy(own)(scene), "--report-level", "participant")
    assert done.status == 0, done.err
    assert "No report" not in done.err
    page = (scene.out / "sub-01.html").read_text()
    assert script not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 3


@pytest.mark.parametrize(
    ("path", "status", "phrase"),
    [
        ("fmriprep", 74, "Permission denied"),
        ("fmriprep/dataset_description.json", 74, "Permission denied"),
        (f"fmriprep/{FUNC}", 16, "may every folder be read?"),
        (f"fmriprep/{FUNC}{BOLD}", 1, "bold.nii.gz: Permission denied"),
        ("mine.tsv", 74, "mine.tsv can't be read: Permission denied"),
        ("out", 73, "can't be"),
    ],
)
def test_what_may_not_be_read_or_written(scene, run_app, path, status, phrase):
    place = scene.tmp / path
    mode = place.stat().st_mode
    place.chmod(0o555 if path == "out" else 0)
    if os.access(place, os.W_OK):
        pytest.skip("nothing is forbidden to root")
    done = run_app(*scene.call())
    place.chmod(mode)
    assert done.status == status, done.err
    assert phrase in done.err
    assert_one_message(done)


def test_a_fault_of_the_program_is_one_message(scene, run_app, monkeypatch):
    def broken(*_args, **_kwargs):
        raise ZeroDivisionError("1 / 0")

    monkeypatch.setattr("bids_spheres.app.participant_level.run_participants", broken)
    done = run_app(*scene.call())
    assert done.status == 70
    assert done.err.startswith("bids-spheres: error: unexpected ZeroDivisionError: 1 / 0\n")
    assert "please report" in done.err
    assert "Traceback" in run_app(*scene.call("--debug")).err
