"""The participant's page: time, memory, size, and where the time goes."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measure import MB, Meter, machine, run_fresh, say, table

if TYPE_CHECKING:
    from collections.abc import Callable

_HEADER = ("page", "runs", "s", "CPU s", "s again", "peak MB", "page MB")
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
    """Print what the pages of the simulated participants take, 264 spheres and two strategies."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument(
        "--results", type=Path, metavar="FOLDER", help="measure the pages of these results instead"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = str(options.results or run_fresh("report:simulated", folder=folder))
        found = {}
        for label in run_fresh("report:labels", results=results):
            say(f"sub-{label}")
            found[label] = run_fresh("report:measured", results=results, label=label)
    print(machine())
    print(table(_HEADER, [_row(label, one) for label, one in found.items()]))
    print()
    print(table(("s of the second time", *found), list(_parts(found))))


def _row(label: str, one: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"sub-{label}",
        str(one["runs"]),
        *(f"{one[key]:.2f}" for key in ("wall", "cpu", "again")),
        f"{one['peak'] / MB:.0f}",
        f"{one['size'] / MB:.2f}",
    )


def _parts(found: dict[str, Any]) -> Any:
    for name, about in _PARTS.items():
        yield about, *(f"{one['parts'].get(name, 0):.2f}" for one in found.values())


def simulated(*, folder: str) -> str:
    """Folder of the results of a simulated dataset.

    Parameters
    ----------
    folder : str
        Where there is room for it.
    """
    from bids_spheres.cli import main as call  # noqa: PLC0415 - not in the starting process
    from bids_spheres.demo import write_demo_dataset  # noqa: PLC0415

    source, out = Path(folder) / "fmriprep", Path(folder) / "out"
    write_demo_dataset(source)
    words = (source, out, "participant", "--atlas", "Power2011", "--report-level", "none", "-q")
    if call([*map(str, words), "--strategy", "simple", "scrubbing"]):
        raise SystemExit("The simulated dataset could not be processed.")
    return str(out)


def labels(*, results: str) -> list[str]:
    """Participants of results."""
    from bids_spheres.participant_report import participants_with_outputs  # noqa: PLC0415

    return participants_with_outputs(Path(results))


def measured(*, results: str, label: str) -> dict[str, Any]:
    """Make a page twice: once with all imports, and once when everything is warm.

    Parameters
    ----------
    results, label : str
    """
    with Meter() as meter:
        from bids_spheres.participant_report import load_participant, write_report  # noqa: PLC0415

        (path,) = write_report(Path(results), label)
    parts = _watched()
    start = time.perf_counter()
    write_report(Path(results), label)
    again = time.perf_counter() - start
    runs = len(load_participant(Path(results), label).runs)
    return {
        **meter.numbers(),
        "again": again,
        "parts": dict(parts),
        "runs": runs,
        "size": path.stat().st_size,
    }


def _watched() -> dict[str, float]:
    """Seconds that each part takes from now on."""
    import bids_spheres.participant_report as package  # noqa: PLC0415
    from bids_spheres.participant_report import page  # noqa: PLC0415

    parts: dict[str, float] = {}
    for module in (package, page):
        for name in _PARTS.keys() & vars(module).keys():
            function = getattr(module, name)
            if callable(function):
                setattr(module, name, _timed(function, name, parts))
    return parts


def _timed(function: Callable[..., Any], name: str, parts: dict[str, float]) -> Callable[..., Any]:
    def timed(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        result = function(*args, **kwargs)
        if hasattr(result, "__next__"):
            result = list(result)  # a generator works only when it is asked
        parts[name] = parts.get(name, 0.0) + time.perf_counter() - start
        return result

    return timed


if __name__ == "__main__":
    main()
