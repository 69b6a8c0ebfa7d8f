"""A call writes to its output folder and nowhere else: a container may be read-only."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

WATCHED = """
import os, sys

from bids_spheres.app.main import main

def note(event, arguments):
    if event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir"):
        # Names in a folder that is open are those of files noted when they were made.
        written.extend([os.fspath(arguments[0])] if arguments[-1] == -1 else [])
    elif event == "open" and not isinstance(arguments[0], int) and arguments[2] & WRITING:
        written.append(os.fsdecode(arguments[0]))

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
written = []
sys.addaudithook(note)
status = main(sys.argv[1:])
status = status or main([*sys.argv[1:3], "group", *sys.argv[sys.argv.index("-q"):]])
print(*sorted({os.path.abspath(path) for path in written} - {os.devnull}), sep="\\n")
sys.exit(status)
"""


@pytest.fixture
def places(tmp_path):
    """A home and a folder for temporary files, which must stay empty."""
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("work", [False, True])
def test_only_to_output_and_work_folder(tiny, seeds_file, places, work):
    tiny.add_run()
    tiny.add_run("sub-02_task-rest")
    options = ["--seed-maps", "--strategy", "24P", "-q"]
    options += ["-w", places / "work"] if work else []
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "MPL", "COV_"))}
    call = [tiny.root, places / "out", "participant"]
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, *call, "--seeds", seeds_file, *options],
        env={**kept, "HOME": str(places / "home"), "TMPDIR": str(places / "tmp")},
        cwd=places,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (places / "out" / "sub-02.html").is_file()
    assert (places / "out" / "group.html").is_file()
    written = done.stdout.split("\n")[:-1]
    assert len(written) > 30
    allowed = (str(places / "out"), str(places / "work"))
    assert [path for path in written if not path.startswith(allowed)] == []
    temporary = [path for path in written if "/.tmp-bids_spheres-" in path and "/font" in path]
    assert temporary
    assert all(path.startswith(allowed[work]) for path in temporary)
    assert not [*(places / "home").iterdir(), *(places / "tmp").iterdir()]


HOMELESS = """
import os, pwd, sys

def unknown(uid):
    raise KeyError(uid)

pwd.getpwuid = unknown
from bids_spheres.app.main import main
status = main(sys.argv[1:])
assert "HOME" not in os.environ
sys.exit(status)
"""


@pytest.mark.slow
def test_of_a_user_without_a_home(tiny, seeds_file, tmp_path):
    """As of one whom the system of a container does not know."""
    tiny.add_run()
    call = [tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file]
    done = subprocess.run(
        [sys.executable, "-c", HOMELESS, *call],
        env={k: v for k, v in os.environ.items() if k != "HOME" and not k.startswith("COV_")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "sub-01.html").is_file(), done.stderr
