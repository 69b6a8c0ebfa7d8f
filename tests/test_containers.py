"""What can be said of the recipes of images without building one; docker/check.sh runs one."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from bids_spheres import __version__

PROJECT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.skipif(
    not (PROJECT / "Dockerfile").exists(), reason="only the repository has the recipes"
)


def instructions():
    """Instructions of the Dockerfile, each with its words on one line."""
    lines = (PROJECT / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#"))
    joined = text.replace("\\\n", " ").splitlines()
    return [tuple(line.split(maxsplit=1)) for line in joined if line.strip()]


def values(name):
    return [words for instruction, words in instructions() if instruction == name]


def pyproject():
    return tomllib.loads((PROJECT / "pyproject.toml").read_text())


def locked(name):
    """Versions and hashes of a lock by the names of packages."""
    text = (PROJECT / "docker" / name).read_text()
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    entries = "\n".join(lines).replace("\\\n", " ").splitlines()
    found = {}
    for entry in filter(None, entries):
        pin, *hashes = entry.split()
        package, version = pin.split("==")
        found[canonicalize_name(package)] = Version(version), hashes
    return found


def section(name):
    """Lines of a section of the definition file."""
    text = (PROJECT / "apptainer.def").read_text()
    (found,) = re.findall(rf"^%{name}\n(.*?)(?=^%|\Z)", text, re.MULTILINE | re.DOTALL)
    return [line.strip() for line in found.splitlines() if line.strip()]


def test_base_image():
    assert values("ARG")[0] == "BASE_IMAGE=python:3.12-slim-bookworm"
    assert values("FROM") == ["scratch AS templates", "${BASE_IMAGE} AS build", "${BASE_IMAGE}"]
    assert "--python-version 3.12 " in (PROJECT / "docker" / "lock").read_text()


def test_versions_agree():
    assert f"VERSION={__version__}" in values("ARG")
    assert f"Version {__version__}" in section("labels")
    assert any('image.version="${VERSION}"' in label for label in values("LABEL"))


def test_command_and_user():
    assert values("ENTRYPOINT") == ['["bids-spheres"]']
    assert section("runscript") == ['exec bids-spheres "$@"']
    assert "bids-spheres" in pyproject()["project"]["scripts"]
    user, _, group = values("USER")[-1].partition(":")
    assert int(user) > 0 < int(group)
    assert [name for name, _ in instructions()][-2:] == ["USER", "ENTRYPOINT"]


def test_every_builder_understands_it():
    """Podman's of Debian 12 knows neither documents in place nor these options."""
    text = (PROJECT / "Dockerfile").read_text()
    assert "<<" not in text
    assert not re.search(r"COPY.*--(link|exclude|parents)|RUN.*--(network|security)", text)


def test_one_folder_of_fonts():
    (shown,) = [line for line in values("ENV") if "MPLCONFIGDIR" in line]
    (made,) = re.findall(r"RUN MPLCONFIGDIR=(\S+)", (PROJECT / "Dockerfile").read_text())
    assert f"MPLCONFIGDIR={made} " in shown
    assert f"export MPLCONFIGDIR={made}" in section("environment")


@pytest.mark.parametrize("name", ["requirements.lock", "build.lock"])
def test_everything_is_pinned_with_hashes(name):
    text = (PROJECT / "docker" / name).read_text()
    assert "://" not in text
    assert not re.search(r"^\s*(-[a-z]|--(?!hash=))", text, re.MULTILINE)
    packages = locked(name)
    assert packages
    for package, (_, hashes) in packages.items():
        assert hashes, package
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", one) for one in hashes), package


def requirements():
    project = pyproject()
    build_in = (PROJECT / "docker" / "build.in").read_text().splitlines()
    build = [line for line in build_in if not line.startswith("#")]
    yield from (("requirements.lock", line) for line in project["project"]["dependencies"])
    yield from (("build.lock", line) for line in project["build-system"]["requires"])
    yield from (("build.lock", line) for line in build)


def test_locks_satisfy_the_ranges():
    """If not, docker/lock makes them anew."""
    for lock, line in requirements():
        requirement = Requirement(line)
        version, _ = locked(lock)[canonicalize_name(requirement.name)]
        assert version in requirement.specifier, line


def let_through(path):
    """Whether .dockerignore lets a path into the build: of the lines that match, the last says."""
    answer = True
    for line in (PROJECT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        regex = re.escape(pattern).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
        regex = regex.replace(r"\[co\]", "[co]")
        if re.fullmatch(f"{regex}(/.*)?", path):
            answer = line.startswith("!")
    return answer


def sources():
    """What the Dockerfile copies out of the project."""
    for words in values("COPY"):
        if "--from=" not in words:
            yield from words.split()[:-1]


def test_what_is_copied_is_there_and_let_through():
    for source in sources():
        path = PROJECT / source
        files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
        files = [file for file in files if "__pycache__" not in file.parts]
        assert files, source
        assert [file for file in files if not let_through(str(file.relative_to(PROJECT)))] == []


def test_nothing_else_is_let_through():
    copied = tuple(sources())
    for path in PROJECT.rglob("*"):
        name = str(path.relative_to(PROJECT))
        if path.is_file() and let_through(name):
            assert name.startswith(copied), name
            assert path.suffix != ".pyc", name


def test_shell_scripts_can_be_parsed():
    for name in ("check.sh", "lock", "get-templates"):
        path = PROJECT / "docker" / name
        assert path.stat().st_mode & 0o111, name
        call = [shutil.which("bash") or "bash", "-n", path]
        done = subprocess.run(call, check=False, capture_output=True)
        assert done.returncode == 0, done.stderr


def compare(*words):
    call = [sys.executable, PROJECT / "docker" / "compare.py", *words]
    return subprocess.run(call, check=False, capture_output=True, text=True)


def test_comparing_outputs(run_app, tiny, seeds_file, tmp_path):
    tiny.add_run()
    moved = tmp_path / "moved" / "data"
    shutil.copytree(tiny.root, moved)
    for root, out in ((tiny.root, "one"), (moved, "other")):
        done = run_app(root, tmp_path / out, "participant", "--seeds", seeds_file)
        assert done.status == 0, done.err
    one, other = tmp_path / "one", tmp_path / "other"
    plain = compare(one, other)
    assert plain.returncode == 1
    assert "differs: dataset_description.json" in plain.stdout
    assert "timeseries" not in plain.stdout

    same = [f"--same={tiny.root}={moved}", f"--same={one}={other}"]
    neutral = compare(one, other, *same)
    assert neutral.returncode == 0, neutral.stdout
    assert neutral.stdout.endswith(" 0 differences\n")

    # In a container input and output lie far from each other.
    description = other / "dataset_description.json"
    far = description.read_text().replace('"../moved/data"', '"file:///data"')
    assert far.count("file:///data") == 2
    description.write_text(far.replace(str(other), "/out"))
    in_container = [f"--same={tiny.root}=/data", f"--same={one}=/out"]
    told = compare(one, other, *in_container).stdout
    assert "differs: dataset_description.json" not in told

    (table,) = other.rglob("*_timeseries.tsv")
    table.write_bytes(table.read_bytes()[:-1])
    next(other.rglob("*_relmat.tsv")).unlink()
    found = compare(one, other, *same)
    assert found.returncode == 1
    assert f"differs: {table.relative_to(other)}\n" in found.stdout
    assert "only in one of them: sub-01/func/" in found.stdout
    assert compare(one, other, "--same=out=other").returncode == 2
