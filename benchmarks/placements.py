"""What random placements of spheres and negative controls add to the participant level."""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile

_JITTER = ("--placement-jitter", "3")
_SMOOTHED = ("--smoothing-fwhm", "6")
_VARIANTS = {
    "as published": (),
    "50 placements": _JITTER,
    "controls": ("--controls",),
    "controls, 50 placements": ("--controls", *_JITTER),
    "smoothed": _SMOOTHED,
    "smoothed, 50 placements": (*_SMOOTHED, *_JITTER),
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
    for name, seconds in least.items():
        base = "smoothed" if name.startswith("smoothed") else "as published"
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
