"""What random placements of spheres add to the participant level of a dataset."""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile

_VARIANTS = {
    "as published": (),
    "50 placements": ("--placement-jitter", "3"),
    "smoothed": ("--smoothing-fwhm", "6"),
    "smoothed, 50 placements": ("--smoothing-fwhm", "6", "--placement-jitter", "3"),
}


def main() -> None:
    """Print processor times of whole calls, the least of several, and their ratios."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("dataset", help="fMRIPrep's output, as the real scan of the tests")
    parser.add_argument("--repeat", type=int, default=3, help="take the least of so many (3)")
    parser.add_argument("--strategy", nargs="+", default=["simple"])
    options = parser.parse_args()
    least = dict.fromkeys(_VARIANTS, float("inf"))
    for _ in range(options.repeat):  # alternating, as others may use the machine
        for name, words in _VARIANTS.items():
            least[name] = min(least[name], _seconds(options.dataset, options.strategy, words))
    for (name, seconds), base in zip(
        least.items(), ("as published",) * 2 + ("smoothed",) * 2, strict=True
    ):
        print(f"{name:24} {seconds:6.2f} s  {seconds / least[base]:.2f}")


def _seconds(dataset: str, strategies: list[str], words: tuple[str, ...]) -> float:
    with tempfile.TemporaryDirectory() as output:
        call = [sys.executable, "-m", "bids_spheres", dataset, output, "participant", "--quiet"]
        call += ["--atlas", "Power2011", "--strategy", *strategies, *words]
        before = _children()
        subprocess.run(call, check=True)
        return _children() - before


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
