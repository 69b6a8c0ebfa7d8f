"""Whether memory is flat in the number of volumes."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from measure import MB, add_data_options, data_folder, machine, run_fresh, say, table

_HEADER = ("case", "volumes", "s", "output MB", "peak MB", "growth MB", "growth - output", "slope")


def main() -> None:
    """Print the peak memory of our masker for runs of different length (float32).

    `growth` is what extraction adds to the process after imports; `slope` is by how many bytes
    it grows from the shortest run per byte of output, 0 for memory that is perfectly flat.
    """
    parser = argparse.ArgumentParser(
        description=main.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_data_options(parser, volumes=None)
    parser.add_argument(
        "--volumes",
        type=int,
        nargs="+",
        default=[100, 400, 1600],
        help="multiples of 100, ascending (default: 100 400 1600; 6.9 GB uncompressed)",
    )
    parser.add_argument("--seeds", type=int, default=264, help="number of seeds (264)")
    parser.add_argument(
        "--formats", nargs="+", default=[".nii.gz", ".nii"], choices=[".nii.gz", ".nii"]
    )
    parser.add_argument(
        "--smoothing-fwhm",
        type=float,
        nargs="+",
        default=[0.0, 6.0],
        metavar="MM",
        help="widths to try, 0 for none (0 6)",
    )
    options = parser.parse_args()
    rows = []
    with data_folder(options.cache) as folder, tempfile.TemporaryDirectory() as own:
        case = {
            "seeds": run_fresh("data:seeds", folder=folder, count=options.seeds),
            "mask": run_fresh("data:mask", folder=folder),
            "out": str(Path(own) / "ours.npy"),
        }
        for suffix in options.formats:
            images = _images(folder, suffix, options.volumes)
            for fwhm in options.smoothing_fwhm:
                name = f"float32{suffix}-{options.seeds}-{fwhm:g}mm-mask"
                rows += _rows(name, images, {**case, "fwhm": fwhm or None})
    print(machine())
    print(table(_HEADER, rows))


def _images(folder: str, suffix: str, lengths: list[int]) -> dict[int, str]:
    images = {}
    for volumes in lengths:
        say(f"making {volumes} volumes, {suffix}")
        images[volumes] = run_fresh("data:long_bold", folder=folder, suffix=suffix, volumes=volumes)
    return images


def _rows(name: str, images: dict[int, str], case: dict[str, Any]) -> list[tuple[str, ...]]:
    found = []
    for volumes, image in images.items():
        say(f"{name}, {volumes} volumes")
        result = run_fresh("ours:extract", image=image, again=False, **case)
        found.append((volumes, result["output_bytes"], result["first"]))
    return [_row(name, *one, *found[0][1:]) for one in found]


def _row(  # noqa: PLR0917 - a measurement and the one it is compared with
    name: str,
    volumes: int,
    output: int,
    numbers: dict[str, float],
    output_of_shortest: int,
    shortest: dict[str, float],
) -> tuple[str, ...]:
    more = output - output_of_shortest
    return (
        name,
        str(volumes),
        f"{numbers['wall']:.2f}",
        f"{output / MB:.1f}",
        f"{numbers['peak'] / MB:.0f}",
        f"{numbers['growth'] / MB:.1f}",
        f"{(numbers['growth'] - output) / MB:.1f}",
        f"{(numbers['growth'] - shortest['growth']) / more:.1f}" if more else "",
    )


if __name__ == "__main__":
    main()
