"""Our `NiftiSpheresMasker` against nilearn's and against the floor, in one table."""

from __future__ import annotations

import argparse
import re
import tempfile
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from measure import MB, add_data_options, data_folder, machine, run_fresh, say, summary, table

_HEADER = (
    "case",
    "floor s",
    "ours s",
    "2nd s",
    "nilearn s",
    "floor CPU",
    "ours CPU",
    "nilearn CPU",
    "ours/floor",
    "of CPU",
    "nilearn/ours",
    "ours MB",
    "nilearn MB",
    "ratio",
    "ours +MB",
    "nilearn +MB",
    "ratio",
    "geometry ms",
    "2nd ms",
    "difference",
)
_LEGEND = """\
s: wall time without imports; CPU: user + system, s; floor: inflating the file, or gathering the
spheres' voxels from the memory map; the ratio of CPU holds also where others use the machine.
2nd: again in the same process, with a new masker. MB: peak of the process, +MB: how much of it
came after imports; each with nilearn's ratio to ours.
geometry: time in engine/spheres.py and engine/smoothing.py, first and second run.
difference: largest, of standardized series. !: not what the project aims for."""


@dataclass(frozen=True)
class Case:
    """One way to call a masker.

    Parameters
    ----------
    dtype, suffix : str
        Of the image.
    count : int
        Of seeds.
    fwhm : float or None
        mm.
    masked : bool
    """

    dtype: str
    suffix: str
    count: int
    fwhm: float | None
    masked: bool

    def __str__(self) -> str:
        region = "mask" if self.masked else "all"
        return f"{self.dtype}{self.suffix}-{self.count}-{self.fwhm or 0:g}mm-{region}"

    @property
    def compressed(self) -> bool:
        """Whether the image has to be inflated."""
        return self.suffix.endswith(".gz")

    @property
    def most_of_floor(self) -> float:
        """Largest ratio of our wall time to the floor that the project allows itself."""
        if not self.compressed:
            return float("inf")
        return 2.0 if self.fwhm else 1.25

    @property
    def least_gain(self) -> float:
        """Least ratio of nilearn's wall time to ours."""
        if not self.compressed:
            return 40.0
        return 12.0 if self.fwhm else 20.0


_LEAST_MEMORY_RATIO = 10.0
_MOST_GEOMETRY = 1.0

_QUICK = (Case("float32", ".nii.gz", 264, None, True), Case("float32", ".nii.gz", 264, 6.0, True))


@dataclass
class Found:
    """Measurements of one case, a list item per repetition."""

    floor: list[dict[str, float]]
    first: list[dict[str, float]]
    second: list[dict[str, float]]
    nilearn: list[dict[str, float]]
    geometry: list[float]


def main() -> None:
    """Print wall time, processor time and peak memory of every case."""
    options = _parser().parse_args()
    cases = _QUICK if options.quick else _all_cases()
    chosen = [case for case in cases if re.search(options.only, str(case))]
    rows = []
    with data_folder(options.cache) as folder:
        for case in chosen:
            found = _measure(case, folder, options)
            rows.append(_row(case, found))
            say("  ".join(rows[-1]))
    print(machine())
    print(table(_HEADER, rows))
    print(_LEGEND)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=f"{main.__doc__}\n\n{_LEGEND}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_data_options(parser)
    parser.add_argument("--quick", action="store_true", help="two cases only")
    parser.add_argument("--no-nilearn", action="store_true", help="only ours and the floor")
    parser.add_argument("--repeat", type=int, default=1, help="take the least of so many (1)")
    parser.add_argument(
        "--only",
        default="",
        metavar="REGEX",
        help="cases whose name matches, as float32.nii.gz-264-6mm-mask (-all: without mask)",
    )
    return parser


def _all_cases() -> list[Case]:
    return [
        Case(*one)
        for one in product(
            ("float32", "int16"), (".nii.gz", ".nii"), (264, 2000), (None, 6.0), (True, False)
        )
    ]


def _measure(case: Case, folder: str, options: argparse.Namespace) -> Found:
    arguments = _arguments(case, folder, options.volumes)
    found = Found([], [], [], [], [])
    # In turn, so that all of them meet the same moods of a shared machine.
    for _ in range(options.repeat):
        found.floor.append(_floor(case, arguments))
        with tempfile.TemporaryDirectory() as own:
            series = str(Path(own) / "ours.npy")
            ours = run_fresh("ours:extract", out=series, **arguments)
            if not options.no_nilearn:
                found.nilearn.append(run_fresh("theirs:extract", ours=series, **arguments))
        found.first.append(ours["first"])
        found.second.append(ours["second"])
    found.geometry = run_fresh("ours:geometry", **arguments)
    return found


def _arguments(case: Case, folder: str, volumes: int) -> dict[str, Any]:
    return {
        "image": run_fresh(
            "data:bold", folder=folder, dtype=case.dtype, suffix=case.suffix, volumes=volumes
        ),
        "seeds": run_fresh("data:seeds", folder=folder, count=case.count),
        "mask": run_fresh("data:mask", folder=folder) if case.masked else None,
        "fwhm": case.fwhm,
    }


def _floor(case: Case, arguments: dict[str, Any]) -> dict[str, float]:
    if case.compressed:
        return run_fresh("floor:inflate", images=[arguments["image"]])
    wanted = {key: arguments[key] for key in ("image", "seeds", "mask")}
    return run_fresh("floor:gather", **wanted)


def _row(case: Case, found: Found) -> tuple[str, ...]:
    floor, ours, again = map(summary, (found.floor, found.first, found.second))
    geometry, second_geometry = found.geometry
    nilearn = summary(found.nilearn) if found.nilearn else None
    to_floor = ours["wall"] / floor["wall"]
    gain = nilearn and nilearn["wall"] / ours["wall"]
    return (
        str(case),
        f"{floor['wall']:.2f}",
        f"{ours['wall']:.2f}",
        f"{again['wall']:.2f}",
        f"{nilearn['wall']:.1f}" if nilearn else "",
        f"{floor['cpu']:.2f}",
        f"{ours['cpu']:.2f}",
        f"{nilearn['cpu']:.1f}" if nilearn else "",
        f"{to_floor:.2f}" + _mark(to_floor > case.most_of_floor),
        f"{ours['cpu'] / floor['cpu']:.2f}",
        f"{gain:.1f}" + _mark(gain < case.least_gain) if gain else "",
        *_memory(ours["peak"], nilearn and nilearn["peak"]),
        *_memory(ours["growth"], nilearn and nilearn["growth"]),
        f"{1e3 * geometry:.0f}" + _mark(geometry > _MOST_GEOMETRY),
        f"{1e3 * second_geometry:.1f}",
        f"{nilearn['difference']:.1e}" if nilearn else "",
    )


def _memory(ours: float, nilearn: float | None) -> tuple[str, str, str]:
    if nilearn is None:
        return f"{ours / MB:.0f}", "", ""
    ratio = nilearn / ours
    mark = _mark(ratio < _LEAST_MEMORY_RATIO)
    return f"{ours / MB:.0f}", f"{nilearn / MB:.0f}", f"{ratio:.1f}{mark}"


def _mark(missed: bool) -> str:
    return "!" if missed else " "


if __name__ == "__main__":
    main()
