"""Permutation tests of edges beside nilearn, tfnbs and bctpy, and their memory."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from measure import MB, Meter, add_data_options, data_folder, machine, run_fresh, say, table

if TYPE_CHECKING:
    from collections.abc import Callable

_TESTS = ("maxt", "nbs", "tfnbs", "cnbs")
_PEERS = {
    "nilearn permuted_ols": ("nilearn", 20),
    "tfnbs NBS": ("tfnbs", 10),
    "tfnbs TFNBS": ("tfnbs", 10),
    "bctpy NBS": ("bct", 2),
}
"""Package to import, and permutations: those of bctpy take seconds. Only nilearn has covariates."""


def main() -> None:
    """Print ms a permutation, for a difference of two groups with two covariates."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    add_data_options(parser, volumes=None)
    parser.add_argument("--nodes", type=int, default=264)
    parser.add_argument("--participants", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--permutations", type=int, default=512)
    options = parser.parse_args()
    rows = []
    installed = {name: n for name, (package, n) in _PEERS.items() if find_spec(package)}
    with data_folder(options.cache) as folder:
        for participants in options.participants:
            size = {"folder": folder, "nodes": options.nodes, "participants": participants}
            run_fresh("inference:write_edges", **size)
            for test in _TESTS:
                say(f"{test}, {participants} participants")
                found = run_fresh("inference:ours", test=test, n=options.permutations, **size)
                rows.append(_row(test, participants, found))
            for name, n in installed.items():
                say(name)
                found = run_fresh("inference:peer", name=name, n=n, **size)
                rows.append(_row(name, participants, found))
            installed = {}  # of the fewest participants: they take long
    print(machine())
    print(table(("test", "participants", "ms", "CPU ms", "growth MB"), rows))


def _row(name: str, participants: int, found: dict[str, float]) -> tuple[str, ...]:
    times = (f"{found[key]:.1f}" for key in ("ms", "cpu_ms"))
    return name, str(participants), *times, f"{found['growth'] / MB:.0f}"


def write_edges(*, folder: str, nodes: int, participants: int) -> None:
    """Write edges (participants, edges) of noise as an .npy file."""
    import numpy as np  # noqa: PLC0415 - not in the starting process

    rng = np.random.default_rng(0)
    size = participants, nodes * (nodes - 1) // 2
    np.save(f"{folder}/edges-{participants}.npy", rng.standard_normal(size))


def _case(folder: str, nodes: int, participants: int) -> tuple[Any, Any, Any]:
    """Memory map of edges, design of groups and two covariates, nodes of edges."""
    import numpy as np  # noqa: PLC0415

    z = np.load(f"{folder}/edges-{participants}.npy", mmap_mode="r")
    rng = np.random.default_rng(1)
    group = np.arange(participants) % 2
    design = np.column_stack([np.ones(participants), group, rng.standard_normal((participants, 2))])
    return z, design, np.array(np.triu_indices(nodes, 1)).T


def ours(*, test: str, n: int, folder: str, nodes: int, participants: int) -> dict[str, float]:
    """Measure n permutations with one correction, imports not counted."""
    import numpy as np  # noqa: PLC0415

    from bids_spheres.group import inference  # noqa: PLC0415

    z, design, ends = _case(folder, nodes, participants)
    network = np.arange(nodes) % 13
    corrections = {
        "maxt": inference.MaxT(),
        "nbs": inference.Nbs(ends),
        "tfnbs": inference.Tfnbs(ends),
        "cnbs": inference.Cnbs(13 * network[ends[:, 0]] + network[ends[:, 1]]),
    }
    contrast = inference.Contrast("group", np.array([[0.0, 1, 0, 0]]))
    used = {test: corrections[test]}
    return _measured(
        lambda: inference.permutation_test(z, design, [contrast], used, n_permutations=n), n
    )


def peer(*, name: str, n: int, folder: str, nodes: int, participants: int) -> dict[str, float]:
    """Measure n permutations of another package, in one process, imports not counted."""
    import numpy as np  # noqa: PLC0415

    z, design, ends = _case(folder, nodes, participants)
    if name.startswith("nilearn"):
        from nilearn.mass_univariate import permuted_ols  # noqa: PLC0415

        return _measured(
            lambda: permuted_ols(
                design[:, [1]], np.asarray(z), design[:, 2:], n_perm=n, n_jobs=1, verbose=0
            ),
            n,
        )
    matrices = np.zeros((participants, nodes, nodes))
    matrices[:, ends[:, 0], ends[:, 1]] = z
    matrices += matrices.transpose(0, 2, 1)
    groups = [matrices[design[:, 1] == group] for group in (0, 1)]
    if name.startswith("bctpy"):
        from bct import nbs_bct  # noqa: PLC0415

        stacked = [np.moveaxis(group, 0, -1) for group in groups]
        return _measured(lambda: nbs_bct(*stacked, 3.1, k=n), n)
    from tfnbs.pairwise_stats import compute_p_val  # noqa: PLC0415

    options = {"n_permutations": n, "test_type": "two-sample", "use_mp": False}
    method = {"method": name.split()[1].lower(), "threshold": 3.1, "e": 0.4, "h": 3.0}
    return _measured(lambda: compute_p_val(*groups, **options, **method), n)


def _measured(work: Callable[[], object], n: int) -> dict[str, float]:
    with Meter() as meter:
        work()
    return {"ms": meter.wall / n * 1e3, "cpu_ms": meter.cpu / n * 1e3, "growth": meter.growth}


if __name__ == "__main__":
    main()
