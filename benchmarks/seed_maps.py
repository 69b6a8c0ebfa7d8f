"""Seed-to-voxel maps by our engine and by nilearn's maskers: time, memory, difference."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from measure import MB, Meter, add_data_options, data_folder, machine, run_fresh, say, table

_HEADER = ("case", "s", "CPU s", "peak MB", "largest difference of z")
_CLEANINGS: dict[str, dict[str, Any]] = {
    "detrended": {"detrend": True},
    "band-pass": {"detrend": True, "low_pass": 0.1, "high_pass": 0.01},
}


def main() -> None:
    """Print what the maps of some seeds take, from a compressed float32 run to arrays."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    add_data_options(parser)
    parser.add_argument("--seeds", type=int, default=36, help="number of seeds (36)")
    parser.add_argument(
        "--smoothing-fwhm",
        type=float,
        nargs="+",
        default=[0.0],
        metavar="MM",
        help="widths to try, 0 for none (0)",
    )
    parser.add_argument("--no-nilearn", action="store_true", help="measure ours alone")
    options = parser.parse_args()
    rows = []
    with data_folder(options.cache) as folder, tempfile.TemporaryDirectory() as own:
        case = {
            "image": run_fresh(
                "data:bold",
                folder=folder,
                dtype="float32",
                suffix=".nii.gz",
                volumes=options.volumes,
            ),
            "seeds": run_fresh("data:seeds", folder=folder, count=options.seeds),
            "mask": run_fresh("data:mask", folder=folder),
            "out": str(Path(own) / "ours.npy"),
        }
        for which in _CLEANINGS:
            for fwhm in options.smoothing_fwhm:
                case |= {"cleaning": which, "fwhm": fwhm or None}
                rows += _rows(f"{options.seeds}-{which}-{fwhm:g}mm", case, options.no_nilearn)
    print(machine())
    print(table(_HEADER, rows))


def _rows(name: str, case: dict[str, Any], alone: bool) -> list[tuple[str, ...]]:
    rows = []
    for task in ("ours",) if alone else ("ours", "nilearns"):
        say(f"{name}, {task}")
        found = run_fresh(f"seed_maps:{task}", **case)
        difference = f"{found['difference']:.1e}" if "difference" in found else ""
        numbers = f"{found['wall']:.1f}", f"{found['cpu']:.1f}", f"{found['peak'] / MB:.0f}"
        rows.append((f"{name}, {task}", *numbers, difference))
    return rows


def ours(
    *, image: str, mask: str, seeds: str, out: str, cleaning: str, fwhm: float | None
) -> dict[str, float]:
    """Maps of our engine, each dropped once it was made; the last is kept for comparison.

    Parameters
    ----------
    image, mask, seeds : str
    out : str
        Where the last map is kept.
    cleaning : str
    fwhm : float, optional
    """
    import numpy as np  # noqa: PLC0415 - not in the process that starts the others
    from case import RADIUS, T_R  # noqa: PLC0415

    from bids_spheres.engine import extract, load_mask, open_volumes, sphere_weights  # noqa: PLC0415
    from bids_spheres.engine.seedmaps import mask_voxels, seed_maps, spooled  # noqa: PLC0415

    points = np.loadtxt(seeds, skiprows=1)
    arguments = {**_CLEANINGS[cleaning], "t_r": T_R}
    with Meter() as meter, tempfile.TemporaryDirectory() as work:
        volumes = open_volumes(image)
        region = load_mask(mask)
        weights = sphere_weights(points, RADIUS, volumes.grid, *region)
        with spooled(volumes, mask_voxels(volumes.grid, *region), Path(work), fwhm) as tapped:
            series = extract(tapped, weights, fwhm).timeseries
            for z in seed_maps(tapped, series, arguments):
                last = z
    np.save(out, last)
    return meter.numbers()


def nilearns(
    *, image: str, mask: str, seeds: str, out: str, cleaning: str, fwhm: float | None
) -> dict[str, float]:
    """Maps by nilearn's maskers, as its example makes them.

    Parameters
    ----------
    image, mask, seeds : str
    out : str
        Map of the last seed to compare with; the result holds the largest absolute difference.
    cleaning : str
    fwhm : float, optional
    """
    import warnings  # noqa: PLC0415 - as above

    import numpy as np  # noqa: PLC0415
    from case import masker_arguments  # noqa: PLC0415
    from nilearn.maskers import NiftiMasker, NiftiSpheresMasker  # noqa: PLC0415

    warnings.simplefilter("ignore")
    arguments = {**masker_arguments(seeds, mask, fwhm), **_CLEANINGS[cleaning]}
    own = {"seeds", "radius", "allow_overlap"}
    with Meter() as meter:
        series = NiftiSpheresMasker(**arguments).fit_transform(image)
        brain = NiftiMasker(**{key: arguments[key] for key in arguments.keys() - own})
        z = np.arctanh(series.T @ brain.fit_transform(image) / (len(series) - 1))
        maps = brain.inverse_transform(z)
    last = np.asanyarray(maps.dataobj[..., -1])
    return {**meter.numbers(), "difference": float(np.nanmax(np.abs(last - np.load(out))))}


if __name__ == "__main__":
    main()
