"""Looking after processes, and at what they leave."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path


def children(parent):
    """Processes that a process has started and that are at work."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, ppid = path.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue  # it has ended
        if int(ppid) == parent and state != "Z":
            found.append(int(path.parent.name))
    return found


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, seconds=30.0):
    """Wait until something holds; say whether it does."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()


def final_files(output):
    names = (path for path in output.rglob("*") if path.is_file())
    return {path for path in names if not path.name.startswith(".")}


def results(output):
    """Bytes of every file but the records of calls, and the pages that quote these."""
    return {
        str(path.relative_to(output)): path.read_bytes()
        for path in sorted(final_files(output))
        if "logs" not in path.relative_to(output).parts and path.suffix != ".html"
    }


def finish(call):
    return subprocess.run(call, capture_output=True, text=True, check=False, timeout=300)
