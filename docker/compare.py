"""Compare the outputs of two calls, byte by byte, but for what they say of the call itself.

    python docker/compare.py ONE OTHER [--same PATH_IN_ONE=PATH_IN_OTHER ...]

Records of calls, in ``logs``, are left out. Elsewhere a time stamp stands for any other, and the
paths given by ``--same`` for each other, also where one is written relative to another: pages and
sidecars say where the input was, which has another path in a container. Exits with 1 when a file
differs or is in one of them only.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from urllib.parse import quote

_STAMP = re.compile(rb"\d{8}T\d{12}Z")


def contents(root: Path, paths: list[str]) -> dict[str, bytes]:
    """Bytes of all files outside ``logs``, with numbers in place of paths."""
    inside = [path.relative_to(root) for path in root.rglob("*") if path.is_file()]
    return {
        str(name): _neutral((root / name).read_bytes(), paths)
        for name in sorted(inside)
        if "logs" not in name.parts
    }


def _neutral(content: bytes, paths: list[str]) -> bytes:
    for number, path in enumerate(paths):
        # A whole path, and not the beginning of another name.
        whole = rb"(?:file://)?%b(?![\w.-])" % re.escape(path.encode())
        content = re.sub(whole, b"<path %d>" % number, content)
        # Links between datasets that lie near each other are relative.
        for other in paths:
            relative = quote(os.path.relpath(path, other)).encode()
            content = content.replace(b'"%b"' % relative, b'"<path %d>"' % number)
    return _STAMP.sub(b"<time>", content)


def differences(one: dict[str, bytes], other: dict[str, bytes]) -> list[str]:
    """A line for every file that is not the same in both."""
    lines = [f"only in one of them: {name}" for name in sorted(one.keys() ^ other.keys())]
    common = sorted(one.keys() & other.keys())
    return lines + [f"differs: {name}" for name in common if one[name] != other[name]]


def main() -> int:
    """Compare; print what differs and how many files were compared."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("one", type=Path)
    parser.add_argument("other", type=Path)
    parser.add_argument("--same", action="append", default=[], metavar="PATH=PATH")
    options = parser.parse_args()
    pairs = [pair.partition("=")[::2] for pair in options.same]
    if not all(Path(path).is_absolute() for pair in pairs for path in pair):
        parser.error("--same takes two absolute paths, as /tmp/out=/out")
    one, other = (
        contents(root, [pair[side] for pair in pairs])
        for side, root in enumerate((options.one, options.other))
    )
    found = differences(one, other)
    print(*found, f"{len(one)} and {len(other)} files, {len(found)} differences", sep="\n")
    return 1 if found or not one else 0


if __name__ == "__main__":
    sys.exit(main())
