"""The same run with regions of a label image and with spheres, and the ratio of their times."""

from __future__ import annotations

import argparse
import tempfile

from command import run_command
from measure import add_data_options, data_folder, machine, run_fresh, say, table


def main() -> None:
    """Print processor times of whole calls with 264 spheres and with 264 regions."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    add_data_options(parser)
    parser.add_argument("--repeat", type=int, default=3, help="take the best of so many pairs (3)")
    options = parser.parse_args()
    with data_folder(options.cache) as folder:
        dataset = run_fresh("data:dataset", folder=folder, volumes=options.volumes, runs=1)
        regions = run_fresh("data:parcellation", folder=folder)
        pairs = []
        for _ in range(options.repeat):
            pairs.append(
                (
                    _seconds(dataset, "--atlas", "Power2011"),
                    _seconds(dataset, "--parcellation", regions),
                )
            )
            say(f"spheres {pairs[-1][0]:.2f} s, regions {pairs[-1][1]:.2f} s")
    spheres, of_regions = min(pairs, key=lambda pair: pair[1] / pair[0])
    print(machine())
    rows = [("best", f"{spheres:.2f}", f"{of_regions:.2f}", f"{of_regions / spheres:.2f}")]
    print(table(("pair", "spheres CPU s", "regions CPU s", "ratio"), rows))


def _seconds(dataset: str, *regions: str) -> float:
    with tempfile.TemporaryDirectory() as output:
        words = [dataset, output, "participant", *regions, "--strategy", "simple", "--quiet"]
        return run_command(words)[0]["cpu"]


if __name__ == "__main__":
    main()
