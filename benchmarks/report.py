"""The participant's page: time, memory, size, and where the time goes."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measure import MB, Meter, machine, run_fresh, say, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_HEADER = ("page", "runs", "s", "CPU s", "imports", "again", "peak MB", "page MB")
_REPEAT = 5
_PARTS = {
    "load_participant": "tables and sidecars",
    "seeds_view": "spheres in slices and from three sides",
    "motion_block": "motion",
    "signal_blocks": "carpets and spectra",
    "relation_blocks": "matrices, strongest pairs, distributions",
    "regressor_block": "correlation of regressors",
    "page": "HTML",
}
"""Functions that the page is made by, and what they are about."""


def main() -> None:
    """Print what pages take: 264 spheres, two strategies, grids of 4 and of 2 mm."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument(
        "--results", type=Path, metavar="FOLDER", help="measure the pages of these results instead"
    )
    parser.add_argument("--volumes", type=int, default=400, help="of the runs of 2 mm (400)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = dict(_measure(options, folder))
    print(machine())
    print(table(_HEADER, [_row(name, one) for name, one in found.items()]))
    print()
    print(table(("CPU s once warm", *found), list(_parts(found))))


def _measure(options: argparse.Namespace, folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names of pages, and what each takes."""
    if options.results:
        results = {"": str(options.results)}
    else:
        results = {
            "4 mm ": run_fresh("report:coarse", folder=folder),
            "2 mm ": run_fresh("report:fine", folder=folder, volumes=options.volumes),
        }
    for name, path in results.items():
        for label in run_fresh("report:labels", results=path):
            say(f"{name}sub-{label}")
            one = run_fresh("report:measured", results=path, label=label)
            yield f"{name}sub-{label}", one


def _row(name: str, one: dict[str, Any]) -> tuple[str, ...]:
    return (
        name,
        str(one["runs"]),
        *(f"{one[key]:.2f}" for key in ("wall", "cpu", "imports", "again")),
        f"{one['peak'] / MB:.0f}",
        f"{one['size'] / MB:.2f}",
    )


def _parts(found: dict[str, Any]) -> Any:
    for name, about in _PARTS.items():
        yield about, *(f"{one['parts'].get(name, 0):.2f}" for one in found.values())


def coarse(*, folder: str) -> str:
    """Folder of the results of a simulated dataset of 4 mm.

    Parameters
    ----------
    folder : str
        Where there is room for it.
    """
    from bids_spheres.demo import write_demo_dataset  # noqa: PLC0415 - not in the starting process

    source = Path(folder) / "fmriprep"
    write_demo_dataset(source)
    return _results(source, Path(folder) / "coarse")


def fine(*, folder: str, volumes: int) -> str:
    """Folder of the results of one run of 2 mm, with a reference image.

    Parameters
    ----------
    folder : str
        Where there is room for it.
    volumes : int
    """
    import data  # noqa: PLC0415 - not in the starting process
    import nibabel as nib  # noqa: PLC0415

    source = Path(data.dataset(folder=folder, volumes=volumes, runs=1))
    for bold in source.rglob("*_desc-preproc_bold.nii.gz"):
        reference = bold.name.replace("_desc-preproc_bold", "_boldref")
        nib.load(bold).slicer[..., 0].to_filename(bold.with_name(reference))
    return _results(source, Path(folder) / "fine")


def _results(source: Path, out: Path) -> str:
    from bids_spheres.app.main import main as call  # noqa: PLC0415 - not in the starting process

    words = (source, out, "participant", "--atlas", "Power2011", "--report-level", "none", "-q")
    if call([*map(str, words), "--strategy", "simple", "scrubbing"]):
        raise SystemExit(f"{source} could not be processed.")
    return str(out)


def labels(*, results: str) -> list[str]:
    """Participants of results."""
    from bids_spheres.outputs.find import labels_with_folders  # noqa: PLC0415

    return labels_with_folders(Path(results), "sub")


def measured(*, results: str, label: str) -> dict[str, Any]:
    """Make a page with all imports, and again when everything is warm, of which the least counts.

    Parameters
    ----------
    results, label : str
    """
    with Meter() as meter:
        start = time.process_time()
        from bids_spheres.reports.participant.load import load_participant  # noqa: PLC0415
        from bids_spheres.reports.participant.write_pages import write_report  # noqa: PLC0415
        from bids_spheres.reports.toolkit.figures import quiet_matplotlib  # noqa: PLC0415

        quiet_matplotlib("matplotlib.backends.backend_agg")
        imports = time.process_time() - start
        (path,) = write_report(Path(results), label)
    parts = _watched()
    best: dict[str, Any] = {"again": float("inf")}
    for _ in range(_REPEAT):
        parts.clear()
        start = time.process_time()
        write_report(Path(results), label)
        again = time.process_time() - start
        if again < best["again"]:
            best = {"again": again, "parts": dict(parts)}
    runs = len(load_participant(Path(results), label).runs)
    return {
        **meter.numbers(),
        **best,
        "imports": imports,
        "runs": runs,
        "size": path.stat().st_size,
    }


def _watched() -> dict[str, float]:
    """Processor seconds that each part takes from now on."""
    from bids_spheres.reports.participant import load, page  # noqa: PLC0415

    parts: dict[str, float] = {}
    for module in (load, page):
        for name in _PARTS.keys() & vars(module).keys():
            function = getattr(module, name)
            if callable(function):
                setattr(module, name, _timed(function, name, parts))
    return parts


def _timed(function: Callable[..., Any], name: str, parts: dict[str, float]) -> Callable[..., Any]:
    def timed(*args: Any, **kwargs: Any) -> Any:
        start = time.process_time()
        result = function(*args, **kwargs)
        if hasattr(result, "__next__"):
            result = list(result)  # a generator works only when it is asked
        parts[name] = parts.get(name, 0.0) + time.process_time() - start
        return result

    return timed


if __name__ == "__main__":
    main()
