"""The whole command on a generated dataset: how long, how much memory, and where time goes."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from measure import MB, add_data_options, data_folder, machine, run_fresh, say, summary, table

if TYPE_CHECKING:
    from collections.abc import Sequence

_SEED_SETS = ("Power2011", "Dosenbach2010", "Seitzman2018")
_STRATEGIES = ("simple", "24P", "36P")
_SIZES = (1, 3)
_HEADER = (
    "runs x seed sets x strategies",
    "s",
    "floor s",
    "s - floor",
    "CPU s",
    "floor CPU",
    "peak MB",
)
_IMPORT = re.compile(r"import time:\s*(\d+) \|\s*\d+ \|\s*([\w.]+)")


@dataclass(frozen=True)
class Call:
    """One way to call the command.

    Parameters
    ----------
    dataset : str
    runs : int
        In the dataset.
    sets : int
        Seed sets, and as many strategies.
    """

    dataset: str
    runs: int
    sets: int

    def __str__(self) -> str:
        return f"{self.runs} x {self.sets} x {self.sets}"

    def arguments(self, output: str) -> list[str]:
        """What follows the command's name."""
        sets, strategies = _SEED_SETS[: self.sets], _STRATEGIES[: self.sets]
        options = ["--atlas", *sets, "--strategy", *strategies, "--quiet"]
        return [self.dataset, output, "participant", *options]

    @property
    def images(self) -> list[str]:
        """Paths of the runs."""
        return sorted(map(str, Path(self.dataset).rglob("*_bold.nii.gz")))


def main() -> None:
    """Print what `bids-spheres DATASET OUT participant` takes, beyond inflating the runs."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    add_data_options(parser)
    parser.add_argument("--repeat", type=int, default=1, help="take the least of so many (1)")
    parser.add_argument("--top", type=int, default=15, help="lines of the profiles (15)")
    options = parser.parse_args()
    with data_folder(options.cache) as folder:
        calls = [
            Call(_dataset(folder, options.volumes, runs), runs, sets)
            for runs in _SIZES
            for sets in _SIZES
        ]
        rows = [_row(call, options.repeat) for call in calls]
        print(machine())
        print(table(_HEADER, rows))
        print("\nImports, each without those that it causes:")
        print(table(("package", "s"), _imports(calls[0], options.top)))
        for call in (calls[0], calls[-1]):
            _print_profile(call, options.top)


def _dataset(folder: str, volumes: int, runs: int) -> str:
    return run_fresh("data:dataset", folder=folder, volumes=volumes, runs=runs)


def _row(call: Call, repeat: int) -> tuple[str, ...]:
    floors, whole = [], []
    for _ in range(repeat):
        floors.append(run_fresh("floor:inflate", images=call.images))
        whole.append(_run(call)[0])
        say(f"{call}: {whole[-1]['wall']:.2f} s, floor {floors[-1]['wall']:.2f} s")
    floor, run = summary(floors), summary(whole)
    return (
        str(call),
        f"{run['wall']:.2f}",
        f"{floor['wall']:.2f}",
        f"{run['wall'] - floor['wall']:.2f}",
        f"{run['cpu']:.2f}",
        f"{floor['cpu']:.2f}",
        f"{run['peak'] / MB:.0f}",
    )


def _run(call: Call, *options: str) -> tuple[dict[str, float], str]:
    with tempfile.TemporaryDirectory() as out:
        return run_command(call.arguments(out), *options)


def run_command(arguments: Sequence[str], *options: str) -> tuple[dict[str, float], str]:
    """Run the command; what it took, start-up and imports included, and what it said.

    Parameters
    ----------
    arguments : sequence of str
        What follows the command's name. What it prints to standard output is not kept.
    *options : str
        For Python.
    """
    with tempfile.TemporaryFile("w+") as said:
        command = [sys.executable, *options, "-m", "bids_spheres", *arguments]
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read()
    if process.returncode:
        raise SystemExit(f"{command} failed:\n{text}")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    cpu = usage.ru_utime + usage.ru_stime
    return {"wall": wall, "cpu": cpu, "peak": peak}, text


def _imports(call: Call, top: int) -> list[tuple[str, str]]:
    """Seconds that the modules of each top-level package took to import, the most first."""
    spent: Counter[str] = Counter()
    for microseconds, module in _IMPORT.findall(_run(call, "-X", "importtime")[1]):
        name = module.split(".")[0]
        package = "(standard library)" if name in sys.stdlib_module_names else name
        spent[package] += int(microseconds)
    listed = [("all", spent.total()), *spent.most_common(top)]
    return [(package, f"{microseconds / 1e6:.3f}") for package, microseconds in listed]


def _print_profile(call: Call, top: int) -> None:
    with tempfile.TemporaryDirectory() as out:
        found = run_fresh("command_profile:profile", arguments=call.arguments(out), top=top)
    header = ("calls", "own s", "whole s")
    print(f"\n{call} in the main thread, once all is imported (waiting for the reader: acquire)")
    print(table(("function by own time", *header), found["own"]))
    print(table(("of this package, with what it calls", *header), found["ours"]))


if __name__ == "__main__":
    main()
