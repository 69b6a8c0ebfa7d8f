"""The group level: time, memory, and where the time goes, for more and more participants."""

from __future__ import annotations

import argparse
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from measure import MB, Meter, add_data_options, data_folder, machine, run_fresh, say, table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_MODEL = "age + sex"
_HEADER = ("participants x groups", "s", "CPU s", "peak MB", "growth MB", "written MB")
_EXTRAS = ("multiverse", "stability", "controls")
"""What the group level does when it is asked to."""

_PARTS = {
    ("files", "all_matrices"): "names of files",
    ("workflow", "gather_image"): "tables of spheres",
    ("workflow", "gather_group"): "sidecars of matrices",
    ("stream", "read_upper_triangle"): "matrices (two threads)",
    ("summary", "Summary.test_means"): "tests of means, QC-FC",
    ("head_motion", "permuted_qc_fc"): "permutations of head motion",
    ("reliability", "group_stability"): "stability (also in what follows)",
    ("multiverse", "estimate_effects"): "effects of the multiverse",
    ("multiverse", "Multiverse.write"): "tables of the multiverse",
    ("summary", "Summary.write"): "model, contrasts, matrices, tables",
}
"""Functions by module of the group level, and what they are about."""


def main() -> None:
    """Print what the group level takes: 264 spheres, model, stacked table; one run each."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    add_data_options(parser, volumes=None)
    parser.add_argument("--participants", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--strategies", type=int, nargs="+", default=[1, 3], help="at most 3")
    parser.add_argument("--measures", type=int, default=1, help="at most 4")
    for name in _EXTRAS:
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("--no-model", action="store_true")
    options = parser.parse_args()
    model = None if options.no_model else _MODEL
    found = {}
    with data_folder(options.cache) as folder:
        for strategies in options.strategies:
            for participants in options.participants:
                size = {"participants": participants, "strategies": strategies}
                size["measures"] = options.measures
                size["series"] = options.stability or options.controls
                say(f"making {participants} x {strategies} x {options.measures}")
                root = run_fresh("group_data:outputs", folder=folder, **size)
                say("measuring")
                name = f"{participants} x {strategies * options.measures}"
                extras = [extra for extra in _EXTRAS if getattr(options, extra)]
                call = {"root": root, "model": model, "extras": extras}
                found[name] = run_fresh("group:measured", **call)
    print(machine())
    print(table(_HEADER, [_row(name, one) for name, one in found.items()]))
    print()
    print(table(("s in", *found), list(_parts(found))))


def _row(name: str, one: dict[str, Any]) -> tuple[str, ...]:
    times = (f"{one[key]:.1f}" for key in ("wall", "cpu"))
    return name, *times, *(f"{one[key] / MB:.0f}" for key in ("peak", "growth", "size"))


def _parts(found: dict[str, Any]) -> Any:
    for about in _PARTS.values():
        yield about, *(f"{one['parts'].get(about, 0):.2f}" for one in found.values())


def measured(*, root: str, model: str | None, extras: Sequence[str] = ()) -> dict[str, Any]:
    """Do the group level once, imports not counted.

    Parameters
    ----------
    root : str
        Outputs of the participant level.
    model : str, optional
    extras : sequence of str
        Of `_EXTRAS`; the multiverse is of the mean and of age.
    """
    from pathlib import Path  # noqa: PLC0415 - not in the starting process

    from bids_spheres.group.options import GroupOptions  # noqa: PLC0415
    from bids_spheres.group.workflow import run_group  # noqa: PLC0415

    if model:
        import formulaic  # noqa: F401, PLC0415
    words: dict[str, Any] = {"model": model, **dict.fromkeys(extras, True)}
    if model:
        words["contrast"] = ("age=age",) if "multiverse" in extras else ()
    words["participants_table"] = Path(root) / "participants.tsv"
    parts = _watched()
    with Meter() as meter:
        problems = run_group(Path(root), GroupOptions(**words))
    if problems:
        raise SystemExit("\n".join(problems))
    size = sum(path.stat().st_size for path in (Path(root) / "group").iterdir())
    return {**meter.numbers(), "parts": dict(parts), "size": size}


def _watched() -> Counter[str]:
    """Seconds that each part takes from now on, in all threads."""
    from importlib import import_module  # noqa: PLC0415

    parts: Counter[str] = Counter()
    for (module, name), about in _PARTS.items():
        holder: Any = import_module(f"bids_spheres.group.{module}")
        *path, last = name.split(".")
        for step in path:
            holder = getattr(holder, step)
        setattr(holder, last, _timed(getattr(holder, last), about, parts))
    return parts


def _timed(function: Callable[..., Any], about: str, parts: Counter[str]) -> Callable[..., Any]:
    lock = threading.Lock()

    def timed(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            with lock:
                parts[about] += time.perf_counter() - start

    return timed


if __name__ == "__main__":
    main()
