"""Sentences about denoising strategies, what all have in common, and connectivity."""

from __future__ import annotations

import re
from math import inf
from typing import TYPE_CHECKING

from bids_spheres.confounds.columns import COSINE, MASKS_OF, column_names, needs_cosines
from bids_spheres.confounds.strategy import EXPANSIONS
from bids_spheres.confounds.strategy_file import load_strategy
from bids_spheres.data.published import published_strategies
from bids_spheres.reports.methods.references import cite, code, escape, listing
from bids_spheres.settings.table import methods_of
from bids_spheres.wording import count, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bids_spheres.confounds.strategy import (
        Censor,
        Expansion,
        HeadMotion,
        Strategy,
        Task,
        TemporalFilter,
    )
    from bids_spheres.reports.methods.citation import MethodsFacts

_EXPANSIONS: dict[Expansion, str] = {
    "power2": "squares",
    "derivatives": "backward differences",
    "full": "backward differences and the squares of both",
}
_TISSUES = {
    "combined": "the combined mask of white matter and cerebrospinal fluid",
    "WM": "white matter",
    "CSF": "cerebrospinal fluid",
}
_IMAGES = {
    "preproc": "the preprocessed images",
    "smoothAROMAnonaggr": "images that fMRIPrep had smoothed (FSL SUSAN, 6 mm full width at half "
    "maximum), and from which it had removed motion components of ICA-AROMA non-aggressively",
    "nonaggrDenoised": "images that fMRIPost-AROMA had denoised non-aggressively",
    "aggrDenoised": "images that fMRIPost-AROMA had denoised aggressively",
    "orthaggrDenoised": "images that fMRIPost-AROMA had denoised with orthogonalized components",
    "optcom": "the optimal combination of echoes",
    "denoised": "images that tedana had denoised",
}
_AROMA = cite("pruim2015")
_TEDANA = cite("dupre2021", "kundu2012")
_AROMA_COMPONENTS = {
    "basic": "(aggressive regression)",
    "orthogonal": "(orthogonalized with respect to the other components if fMRIPost-AROMA had done "
    "so, and otherwise aggressive regression)",
}
_TEDANA_COMPONENTS = {
    "aggressive": "",
    "orthogonal": ", orthogonalized with respect to the accepted components",
}
# Beginnings of the columns that fMRIPrep computes after its high-pass filter
_COMPONENTS = ("a_comp_cor_", "t_comp_cor_", "w_comp_cor_", "c_comp_cor_", "edge_comp_")


def removes_something(strategy: Strategy) -> bool:
    """Whether a strategy regresses anything out."""
    return bool(column_names(strategy)) or _cosine_filter(strategy) is not None


def removes_global_signal(strategy: Strategy) -> bool:
    """Whether the global signal is among the regressors, by any key."""
    named = strategy.global_signal is not None or "global_signal" in strategy.confounds
    return named or any(re.search(pattern, "global_signal") for pattern in _patterns(strategy))


def denoising(strategy: Strategy, facts: MethodsFacts) -> Iterator[str]:
    """Sentences about one strategy."""
    regressors, name = list(_regressors(strategy)) or ["no confounds"], strategy.name
    yield f"The denoising strategy {escape(name)} regressed out {listing(regressors)}."
    # Only the author's words say what columns of their own mean.
    words = escape(strategy.description).rstrip(".")
    unchanged = name in published_strategies() and strategy == load_strategy(name)
    if words and not unchanged:
        yield f'Its definition describes it as "{words}".'
    kinds = strategy.bold_kinds
    if kinds != ("preproc",):
        images = ", or, for runs that lack these, to ".join(_IMAGES[kind] for kind in kinds)
        cited = f" {_AROMA}" if any("AROMA" in _IMAGES[kind] for kind in kinds) else ""
        cited += f" {_TEDANA}" if {"optcom", "denoised"} & set(kinds) else ""
        yield f"It was applied to {images}{cited}."
    if strategy.head_motion is not None:
        yield from _head_motion(strategy.head_motion)
    yield from _censoring(strategy.censor, external=facts.external_outliers)
    yield from _filtering(strategy, facts)
    least = [f"fewer than {count(strategy.min_volumes, 'volume')}"] if strategy.min_volumes else []
    if strategy.min_seconds:
        least.append(f"less than {strategy.min_seconds:g} s")
    if least:
        yield f"Runs with {listing(least, 'or')} left were excluded from its results."


def _regressors(strategy: Strategy) -> Iterator[str]:
    if _wants_cosines(strategy):
        yield "discrete cosine terms of fMRIPrep's high-pass filter"
    if form := strategy.motion:
        # The full 24 are named after the first paper, and have the form of the second.
        cited = ("friston1996",) if form == "full" else ()
        title = f"{6 * len(EXPANSIONS[form])} motion parameters"
        yield _expanded(title, "the six realignment parameters", form, *cited)
    if form := strategy.wm_csf:
        means = "the mean signals of white matter and cerebrospinal fluid"
        yield _expanded(f"{2 * len(EXPANSIONS[form])} tissue signals", means, form)
    if form := strategy.global_signal:
        title = f"{len(EXPANSIONS[form])} global signal regressors"
        yield _expanded(title, "the global signal", form)
    yield from _components(strategy)
    if chosen := strategy.task:
        yield _responses(chosen)
    names = [code(entry) for entry in strategy.confounds if not entry.startswith("^")]
    patterns = [code(entry) for entry in _patterns(strategy)]
    if names:
        yield f"the {plural(len(names), 'column')} {listing(names)} of the confounds"
    if patterns:
        word = plural(len(patterns), "expression")
        yield f"the columns of the confounds that match the regular {word} {listing(patterns)}"
    own = _cosine_filter(strategy)
    if own and not _has_cosines(strategy):
        yield f"a discrete cosine basis of frequencies below {own.high_pass:g} Hz"


def _responses(chosen: Task) -> str:
    """Evoked responses."""
    what = "the responses to the events of each condition"
    if chosen.model == "fir":
        return (
            f"{what}, modelled by finite impulse responses up to {chosen.window:g} s after the "
            f"events {cite('cole2019')}"
        )
    model, *derivatives = chosen.hrf.split(" + ")
    named = {"glover": f"Glover's {cite('glover1999')}", "spm": "SPM's canonical"}[model]
    words = {"derivative": "temporal derivative", "dispersion": "dispersion derivative"}
    extra = f" with its {listing([words[each] for each in derivatives])}" if derivatives else ""
    return f"{what} {cite('cole2019')}, modelled by {named} haemodynamic response function{extra}"


def _wants_cosines(strategy: Strategy) -> bool:
    """Whether fMRIPrep's cosines are regressed out: selected, or because CompCor needs them."""
    named = strategy.wants_cosines or strategy.compcor is not None
    return named or any(map(needs_cosines, strategy.confounds)) or _matches(strategy, *_COMPONENTS)


def _has_cosines(strategy: Strategy) -> bool:
    """Whether fMRIPrep's cosines are regressed out, by any key."""
    named = any(COSINE.match(entry) for entry in strategy.confounds)
    return named or _wants_cosines(strategy) or _matches(strategy, "cosine")


def _patterns(strategy: Strategy) -> list[str]:
    """Regular expressions among the columns of a strategy."""
    return [entry for entry in strategy.confounds if entry.startswith("^")]


def _matches(strategy: Strategy, *beginnings: str) -> bool:
    """Whether a pattern matches a column with one of these beginnings, before two digits."""
    names = [f"{beginning}{n:02d}" for beginning in beginnings for n in range(100)]
    return any(re.search(pattern, name) for pattern in _patterns(strategy) for name in names)


def _expanded(title: str, base: str, form: Expansion, *also: str) -> str:
    """Signals and their expansions; `also` are publications beside that on expansions."""
    if form == "basic":
        return base
    return f"{title}, namely {base} with {_EXPANSIONS[form]} {cite(*also, 'satterthwaite2013')}"


def _components(strategy: Strategy) -> Iterator[str]:
    """Components of CompCor, ICA-AROMA and tedana."""
    if chosen := strategy.compcor:
        parts, masks = [], MASKS_OF[chosen.mask]
        for mask in masks:
            kind = "tCompCor" if mask == "temporal" else "aCompCor"
            where = "" if mask == "temporal" else f" of {_TISSUES[mask]}"
            number = "" if chosen.n == 1 else f"{chosen.n} "
            part = f"the first {number}{kind} component{'s' if number else ''}{where}"
            retained = f"all {kind} components{where} that fMRIPrep retained"
            parts.append(retained if chosen.n == "all" else part)
        anatomical = ("muschelli2014",) if set(masks) - {"temporal"} else ()
        yield f"{listing(parts)} {cite('behzadi2007', *anatomical)}"
    courses = "the time courses of the components that"
    if how := _AROMA_COMPONENTS.get(strategy.ica_aroma or ""):
        yield f"{courses} ICA-AROMA classified as motion {_AROMA} {how}"
    if strategy.tedana in _TEDANA_COMPONENTS:
        yield f"{courses} tedana rejected {_TEDANA}{_TEDANA_COMPONENTS[strategy.tedana]}"


def _head_motion(rules: HeadMotion) -> Iterator[str]:
    """How framewise displacement was measured, where it was not fMRIPrep's."""
    radius = "that of a sphere of the volume of each participant's brain"
    if rules.head_radius != "auto":
        radius = f"{rules.head_radius:g} mm"
    first, (low, high) = "", rules.stop_band if rules.filter else (0.0, 0.0)
    if rules.filter and high == inf:
        first = f"low-pass filtered at {low:.3g} Hz (Butterworth) {cite('gratton2020')}"
    elif rules.filter:
        first = f"filtered by a notch from {low:.3g} to {high:.3g} Hz {cite('fair2020')}"
    step = f" that were {first}, forward and backward," if first else ""
    yield (
        f"Framewise displacement {cite('power2012')} was computed from realignment parameters"
        f"{step} with a head radius of {radius}."
    )
    if rules.filter_regressors:
        yield "Realignment parameters among the regressors were filtered as well."


def _censoring(rules: Censor, *, external: bool) -> Iterator[str]:
    measures = (
        ("a framewise displacement", rules.fd_threshold, " mm", ("power2012", "power2014")),
        ("standardized DVARS", rules.std_dvars_threshold, "", ("power2012", "nichols2017")),
        ("a root mean square displacement", rules.rmsd_threshold, " mm", ("jenkinson2002",)),
    )
    high = [
        f"with {name} above {limit:g}{unit} {cite(*keys)}"
        for name, limit, unit, keys in measures
        if limit is not None
    ]
    if rules.combine == "all" and len(high) > 1:
        high = [listing(high)]
    marked = ["that were marked in the user's tables of outliers"] if external else []
    if not high and not marked:
        return
    yield f"Volumes {listing([*high, *marked], 'or')} were censored."
    near = [
        f"up to {count(n, 'volume')} {side}"
        for n, side in ((rules.before, "before"), (rules.after, "after"))
        if n
    ]
    if high and near:
        above = "this threshold" if len(high) == 1 else "one of these thresholds"
        if rules.combine == "all" and " and " in high[0]:
            above = "these thresholds"
        yield f"So were {listing(near)} each volume above {above}."
    if rules.min_segment > 1:
        yield (
            f"Segments shorter than {rules.min_segment} volumes between censored volumes, or "
            f"between a censored volume and an end of the run, were censored too "
            f"{cite('power2014')}."
        )


def _cosine_filter(strategy: Strategy) -> TemporalFilter | None:
    chosen = strategy.filter
    return chosen if chosen and chosen.type == "cosine" else None


def _filtering(strategy: Strategy, facts: MethodsFacts) -> Iterator[str]:
    chosen, cosine = strategy.filter, _cosine_filter(strategy)
    if cosine and _has_cosines(strategy):
        yield (
            f"A high-pass filter of {cosine.high_pass:g} Hz was requested; fMRIPrep's cosine "
            "terms, which are a high-pass filter, took its place."
        )
    if not chosen or cosine:
        return
    if chosen.low_pass is None:
        band = f"above {chosen.high_pass:g} Hz"
    elif chosen.high_pass is None:
        band = f"below {chosen.low_pass:g} Hz"
    else:
        band = f"from {chosen.high_pass:g} to {chosen.low_pass:g} Hz"
    steps = [
        "cubic spline interpolation of the volumes to be left out",
        *(["removal of mean and linear trend"] if facts.detrend else []),
        "filtering",
        "removal of the interpolated volumes",
        *(["regression"] if removes_something(strategy) else []),
    ]
    yield (
        f"A Butterworth filter of order {chosen.order}, applied forward and backward, passed "
        f"frequencies {band}. So that no step undid another, signals and confounds "
        f"went through the same steps in this order {cite('lindquist2019')}: {listing(steps)}."
    )


def cleaning(facts: MethodsFacts) -> Iterator[str]:
    """What all strategies have in common."""
    if len(facts.strategies) > 1:
        names = listing([escape(strategy.name) for strategy in facts.strategies])
        yield f"These {len(facts.strategies)} strategies ({names}) were alternatives."
    flagged = "that fMRIPrep flagged as acquired before the magnetization was steady"
    n = facts.dummy_scans
    if isinstance(n, int) and n > 0:
        first = "volume" if n == 1 else f"{n} volumes"
        yield f"The first {first} of each run, and any others {flagged}, were left out."
    else:
        yield f"Volumes {flagged} were left out."
    regresses = any(map(removes_something, facts.strategies))
    if facts.detrend:
        what = "signals and confounds before regression" if regresses else "the signals"
        yield f"Mean and linear trend were removed from {what}."
    options = methods_of(facts, "series")
    if scale := options["standardize"]:
        yield f"At the end, the signals were {scale}."
    seed = facts.equal_seconds_seed
    drawn = f"volumes drawn at random from those that were kept (seed {seed})"
    which = "the first volumes that were kept" if seed is None else drawn
    yield from filter(None, methods_of(facts, "design", which=which).values())
    if least := facts.min_dof:
        trend = ["trend"] if facts.detrend else []
        removed = [*(["confounds"] if regresses else []), "mean", *trend]
        counted = f"volumes kept, less the rank of {listing(removed)}"
        if any(own.filter and own.filter.type != "cosine" for own in facts.strategies):
            counted += (
                "; with a Butterworth filter, one over the variance that the correlation of two "
                "independent white series has after the same steps"
            )
        yield (
            f"Runs that a strategy left with fewer than {count(least, 'degree')} of freedom "
            f"({counted}) were excluded from its results."
        )
    yield from (text for text in options.values() if text.endswith("."))
    if any(map(removes_global_signal, facts.strategies)):
        yield f"Removal of the global signal is debated {cite('murphy2009', 'fox2009')}."
    keys = ("motion", "wm_csf", "global_signal", "compcor", "ica_aroma")
    if any(getattr(strategy, key) for strategy in facts.strategies for key in keys):
        compared = cite("ciric2017", "parkes2018", "wang2024")
        yield f"Benchmarks have compared strategies of this kind {compared}."


_SHRUNK = f"a covariance shrunk after Ledoit and Wolf {cite('ledoit2004')}"
_MEASURES = {
    "pearsoncorrelation": "Pearson's correlation coefficient",
    "fisherz": "Fisher's z, the inverse hyperbolic tangent of Pearson's correlation coefficient "
    f"{cite('fisher1915')}",
    "spearmancorrelation": f"Spearman's rank correlation coefficient {cite('spearman1904')}",
    "covariance": "the sample covariance",
    "ledoitwolfcorrelation": f"the correlation coefficient from {_SHRUNK}",
    "partialcorrelation": "the partial correlation given all others of the set "
    f"{cite('marrelec2006')}, from {_SHRUNK}",
    "precision": f"the precision, which is the inverse of {_SHRUNK}",
}
"""By the labels of their ``stat`` entities."""


def connectivity(measures: Sequence[str], things: str) -> Iterator[str]:
    """Which measures were computed; an unknown one by its label."""
    if measures:
        named = listing([_MEASURES.get(label) or code(label) for label in measures])
        yield f"Connectivity of all pairs of {things} of a set was measured in each run by {named}."


def checks(facts: MethodsFacts) -> Iterator[str]:
    """What was computed to judge connectivity by."""
    if facts.placements:
        distance, number = facts.placements
        yield (
            "To see which correlations depend on placement, all spheres were placed "
            f"{number} times at random within {distance:g} mm; mean and standard deviation of each "
            "correlation over placements were computed."
        )
    if facts.controls:
        yield (
            "As negative controls, correlations were counted that a strategy should not leave: of "
            f"surrogates with the spectra of the series and random phases {cite('theiler1992')}, "
            "of spheres in cerebrospinal fluid, and of spheres at seeds mirrored at the midline."
        )
