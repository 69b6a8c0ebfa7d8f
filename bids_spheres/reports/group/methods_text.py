"""What was done at the group level, as the methods section of a paper tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bids_spheres.group.statistics import CONFIDENCE
from bids_spheres.group.zero import MURPHY
from bids_spheres.reports.methods import cited_keys, in_plain_words, load_references
from bids_spheres.reports.methods.wording import code
from bids_spheres.reports.participant.methods_text import MethodsText
from bids_spheres.wording import count, listing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bids_spheres.reports.group.load import Level, Result


def group_methods(level: Level) -> MethodsText:
    """Sentences for what was done, and nothing else, with their references."""
    text = " ".join(_sentences(level))
    known = load_references()
    cited = tuple(known[key] for key in cited_keys(text))
    return MethodsText((in_plain_words(text),) if text else (), cited)


def _sentences(level: Level) -> Iterator[str]:
    results = [result for result in level.results if result.has_matrices]
    if not results:
        return
    yield _averaging(level)
    yield from _pooled(results)
    if any(result.scale.transformed for result in results):
        yield (
            "Correlations were averaged over participants as Fisher's z "
            "[@fisher1915; @silver1987], and the means transformed back."
        )
    if any("q" in result.files.whats for result in results):
        yield (
            "Means of Fisher's z were compared with zero by two-sided one-sample t tests, "
            "corrected over all pairs of seeds by the false discovery rate [@benjamini1995]."
        )
        yield from _limits_of_tests(results)
    if any("networks" in result.files.whats for result in results):
        yield (
            "Connectivity within and between networks is the mean over their pairs of seeds in "
            f"each participant, averaged over participants with {round(100 * CONFIDENCE)} % "
            "confidence intervals of Student's t."
        )
    if level.strategies["qc_fc_median"].notna().any():
        yield _benchmarks(level)
    yield from _models(level)


def _averaging(level: Level) -> str:
    people = level.runs.loc[level.runs["excluded"] != 1, "participant_id"].nunique()
    runs = level.runs.loc[level.runs["excluded"] != 1, "source"].nunique()
    text = f"The group level rests on {count(people, 'participant')} and {count(runs, 'run')}."
    if runs <= people:
        return text
    return (
        f"{text} Runs of a participant were averaged first, each counting by one over the variance "
        "that Fisher's z has for the degrees of freedom that cleaning leaves."
    )


def _limits_of_tests(results: Sequence[Result]) -> Iterator[str]:
    """Which pairs were not tested, and after which strategies tests do not hold."""
    tested = [result for result in results if "q" in result.files.whats]
    least = max(int(result.about.get("MinimumParticipants") or 2) for result in tested)
    yield f"Pairs of fewer than {max(least, 2)} participants were not tested."
    without: dict[str, dict[str, None]] = {}
    for result in tested:
        for reason in result.against_zero:
            cited = reason.replace(MURPHY, "[@murphy2009]")
            without.setdefault(cited, {})[result.strategy] = None
    for reason, strategies in without.items():
        yield (
            f"After {listing([code(name) for name in strategies], 16)} these tests do not hold: "
            f"{reason}."
        )


def _pooled(results: Sequence[Result]) -> Iterator[str]:
    spaces = dict.fromkeys(space for result in results for space in result.pooled)
    if spaces:
        yield (
            "Participants whose images were in different spaces "
            f"({listing(list(spaces), 16)}) were put together, at the same seeds."
        )


def _benchmarks(level: Level) -> str:
    text = (
        "What head motion still explains after cleaning was measured by QC-FC, the correlation "
        f"over participants of the strength of each pair with {_motion(level)}, the "
        "share of pairs in which it has an uncorrected p below 0.05, and its rank correlation with "
        "the distance of the two seeds [@ciric2017; @parkes2018]."
    )
    if level.strategies["modularity"].notna().any():
        text += (
            " Modularity is that of the positive part of the mean matrix for the networks of the "
            "seeds [@newman2004]."
        )
    return text


def _motion(level: Level) -> str:
    names = dict.fromkeys(name for result in level.results for name in result.covariates)
    adjusted = f", adjusted for {listing([code(n) for n in names], 16)}" if names else ""
    return (
        "mean framewise displacement (over all volumes of all runs of the task, before censoring)"
        f"{adjusted}"
    )


def _models(level: Level) -> Iterator[str]:
    formulas = dict.fromkeys(
        str(result.model_about.get("Model")) for result in level.results if result.has_model
    )
    if formulas:
        yield (
            "Each pair was explained by variables of the participants in an ordinary least squares "
            f"model ({listing([code(formula) for formula in formulas])}); coefficients were tested "
            "by two-sided t tests, corrected over all pairs of each term by the false discovery "
            "rate [@benjamini1995]."
        )
