"""Which library inflates fastest, on both data types."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path
from typing import Any

from measure import Meter, add_data_options, data_folder, machine, run_fresh, say, summary, table

_LIBRARIES = {"zlib": "gzip", "zlib-ng": "zlib_ng.gzip_ng", "isal": "isal.igzip"}


def inflate(*, library: str, image: str, volume_bytes: int) -> dict[str, float] | None:
    """Inflate a file volume by volume with a library; None when it is not installed."""
    try:
        module: Any = import_module(_LIBRARIES[library])
    except ImportError:
        return None
    buffer = bytearray(volume_bytes)
    with Meter() as meter, module.open(image) as stream:
        while stream.readinto(buffer):
            pass
    return meter.numbers()


def main() -> None:
    """Print seconds per library and data type, and their ratios to the fastest."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    add_data_options(parser)
    parser.add_argument("--repeat", type=int, default=5, help="take the least of so many (5)")
    options = parser.parse_args()
    with data_folder(options.cache) as folder:
        rows = [
            row
            for dtype in ("float32", "int16")
            for row in _rows(folder, dtype, options.volumes, options.repeat)
        ]
    print(machine())
    print(table(("file", "library", "s", "CPU s", "MB/s", "x fastest"), rows))


def _rows(folder: str, dtype: str, volumes: int, repeat: int) -> list[tuple[str, ...]]:
    image = run_fresh("data:bold", folder=folder, dtype=dtype, suffix=".nii.gz", volumes=volumes)
    size = run_fresh("data:volume_bytes", dtype=dtype)
    say(f"{Path(image).name}: {Path(image).stat().st_size / 1e6:.0f} MB compressed")
    found: dict[str, list[dict[str, float]]] = {}
    # In turn, so that all of them meet the same moods of a shared machine.
    for _ in range(repeat):
        for library in _LIBRARIES:
            numbers = run_fresh(
                "gzip_libraries:inflate", library=library, image=image, volume_bytes=size
            )
            if numbers:
                found.setdefault(library, []).append(numbers)
    best = {library: summary(numbers) for library, numbers in found.items()}
    fastest = min(numbers["wall"] for numbers in best.values())
    return [
        (
            f"{dtype}.nii.gz",
            library,
            f"{numbers['wall']:.2f}",
            f"{numbers['cpu']:.2f}",
            f"{size * volumes / numbers['wall'] / 1e6:.0f}",
            f"{numbers['wall'] / fastest:.2f}",
        )
        for library, numbers in sorted(best.items(), key=lambda item: item[1]["wall"])
    ]


if __name__ == "__main__":
    main()
