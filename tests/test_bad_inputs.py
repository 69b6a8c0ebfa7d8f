"""Bad input gets no further than a message: what, where, what to do, and the status that fits.

Every case starts from a dataset of one run and from the results of an earlier call. Its builder
breaks something, and may return the arguments of the call; without them it is the usual one.
"""

from __future__ import annotations

import gzip
import json
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

MAX_NAME = 255
DEEP = "[" * 100_000
DIGITS = "1" + "0" * 5000  # more than Python turns into a number
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
        return [*places, "participant", "--seeds", seeds or self.seeds, *more]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return tmp_path_factory.mktemp("earlier") / "out"


@pytest.fixture
def scene(tiny, seeds_file, tmp_path, run_app, results):
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
            holds = os.readlink(path) if path.is_symlink() else None
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
    """A constant image instead of one of the scene's."""

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


def option_file(option, content, name="mine.json"):
    """A file of the user's, named by an option."""

    def build(scene):
        text = content if isinstance(content, str) else json.dumps(content)
        (scene.tmp / name).write_text(text)
        return scene.call(option, scene.tmp / name)

    return build


def strategy(content, name="mine.json"):
    return option_file("--strategy", content, name)


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
    "old maker a list": (
        *(16, "can't be indexed by pybids"),
        described(GeneratedBy=None, DatasetType=None, PipelineDescription=["fMRIPrep"]),
    ),
    "byte order mark": (16, "by pybids", holds("description", b'\xef\xbb\xbf{"GeneratedBy": []}')),
    "type a number": (16, "is a raw dataset without", described(DatasetType=5)),
    "raw without derivatives": (16, "without fMRIPrep derivatives", raw_above()),
    "several derivatives": (
        *(16, "has several fMRIPrep derivatives: fmriprep, fmriprep2"),
        raw_above(fmriprep=f"../.git/{KEY}", fmriprep2=f"../.git/{KEY}"),
    ),
    "nested unfetched": (66, "datalad get ", raw_above(fmriprep=f"../.git/{KEY}")),
    "root a file": (16, "is a file; a dataset is a folder", lambda s: s.call(root=s.seeds)),
    "root gone": (66, "nowhere is not there", lambda s: s.call(root=s.tmp / "nowhere")),
    "root in a circle": (66, "circle is not there", circle(root="")),
    "root too long": (74, "File name too long", lambda s: s.call(root=s.tmp / LONG)),
    "root no text": (16, "has bytes that are no text", renamed(b"data\xff")),
    "no image": (16, "holds no preprocessed BOLD image", gone("bold")),
    "image a folder": (16, "holds no preprocessed BOLD image", folder("bold")),
    "derivatives gone": (66, "/nowhere is not there", words("--derivatives", "aroma=/nowhere")),
    "derivatives unnamed": (16, "Say what it is, as in --derivatives aroma=", derivatives("{}")),
    "derivatives broken": (65, "is not valid JSON", derivatives("{", "aroma={tmp}/d")),
    "derivatives twice": (
        *(2, "are both tedana's output"),
        words("--derivatives", "tedana={root}", "tedana={root}"),
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
    "one volume": (1, "has 40 rows, but the BOLD image has 1 volumes", shape(3, *SHAPE3)),
    "dims 0": (1, "this one has shape (0,)", shape(0, 0)),
    "no volume": (1, "this one has shape (12, 12, 10, 0)", shape(4, 12, 12, 10, 0)),
    "negative": (1, "this one has shape (12, -12, 10, 40)", shape(4, 12, -12, 10, 40)),
    "2-D": (1, "a 3-D or 4-D image is needed", shape(2, 12, 12)),
    "5-D": (1, "a 3-D or 4-D image is needed", shape(5, 12, 12, 10, 8, 5)),
    "9 dims": (1, "can't be read as an image", header(dim=[9, *[1] * 7])),
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
    "huge values": (1, "has values above 1e+100", image("bold", "f8", 1e307)),
    "unfetched": (1, "datalad get ", unfetched("bold")),
    "a pointer": (1, "git-annex has its name only", unfetched("bold", "pointer")),
    "a link to nowhere": (
        1,
        "is not there",
        lambda s: (gone("bold")(s), s.bold.symlink_to("x"))[0],
    ),
    "NaN": (0, "no sphere has a signal, and all outputs are n/a", image("bold", value=np.nan)),
    "constant": (0, "constant or empty there?", image("bold", value=7)),
    "no time": (
        1,
        "in its header it is 0.0",
        lambda s: (gone("sidecar")(s), header(pixdim=4)(s))[1],
    ),
}
