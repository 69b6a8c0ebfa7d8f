"""What was done at the group level, as the methods section of a paper says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bids_spheres.group.head_motion import MURPHY
from bids_spheres.group.statistics import CONFIDENCE, Scale
from bids_spheres.reports.group.load import texts
from bids_spheres.reports.methods.markdown import code
from bids_spheres.reports.participant.provenance import MethodsText, methods_text
from bids_spheres.wording import count, listing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bids_spheres.reports.group.load import Level, Result

_TAILS = {
    "two": "two-sided",
    "positive": "one-sided (positive)",
    "negative": "one-sided (negative)",
}


def group_methods(level: Level) -> MethodsText:
    """Sentences for what was done, and nothing else, with their references."""
    results = [result for result in level.results if result.has_matrices]
    if not results:
        return MethodsText()
    sentences = [*_means_and_tests(level, results), *_benchmarks(level)]
    sentences += [*_models(results), *_contrasts(results)]
    sentences += _permutations(results)
    return methods_text([" ".join(sentences)])


def _models(results: Sequence[Result]) -> Iterator[str]:
    """How coefficients were estimated and tested; nothing without a model."""
    formulas: dict[str, dict[str, None]] = {}
    for result in results:
        if "model" in result.whats:
            formula = code(str(result.model_about.get("Model")))
            formulas.setdefault(_errors(result.model_about), {})[formula] = None
    for errors, own in formulas.items():
        yield (
            f"Each pair was explained by variables of the participants in {errors} "
            f"({listing(list(own))}); coefficients were tested by two-sided t tests, corrected "
            "over all pairs of each term by the false discovery rate [@benjamini1995]."
        )


def _errors(about: Mapping[str, object]) -> str:
    """The kind of model, with what was assumed about errors and done about sites."""
    if about.get("ParticipantWeights"):
        words = "a random-effects model weighted by precision [@paule1982; @knapp2003]"
    else:
        words = "an ordinary least squares model"
    if clusters := about.get("Clusters"):
        words += f" with CR2 standard errors robust to {code(str(clusters))} [@pustejovsky2018]"
    if groups := about.get("VarianceGroups"):
        words += f" with a variance for each {code(str(groups))} [@winkler2014]"
    if sites := about.get("Harmonized"):
        again = ", again in each permutation" if about.get("HarmonizedInPermutations") else ""
        words += f" after ComBat over {code(str(sites))}{again} [@johnson2007; @yu2018]"
    return words


def _contrasts(results: Sequence[Result]) -> Iterator[str]:
    """Which tests contrasts have without permutations; the mean has its own sentence."""
    names: dict[str, dict[str, None]] = {}
    for result in results:
        for name, about in result.contrast_sidecars.items():
            of_mean = about.get("Model") == "1"
            special = about.get("ParticipantWeights") or about.get("Harmonized")
            if name != "mean" or not of_mean or special:
                words = _TAILS.get(str(about.get("Tail")))
                kind = f"{words} t tests" if words else "F tests"
                kind += f" in {_errors(about)}" if of_mean and special else ""
                names.setdefault(kind, {})[code(name)] = None
    for kind, own in names.items():
        yield (
            f"The {'contrast' if len(own) == 1 else 'contrasts'} {listing(list(own), 16)} "
            f"{'was' if len(own) == 1 else 'were'} tested by {kind}, corrected over all pairs by "
            "the false discovery rate [@benjamini1995]."
        )


def _permutations(results: Sequence[Result]) -> Iterator[str]:
    """How contrasts were tested by permutations; nothing without."""
    tests = [
        (name, about)
        for result in results
        for name, about in result.contrast_sidecars.items()
        if "Permutations" in about
    ]
    names = [code(name) for name in dict.fromkeys(name for name, _ in tests)]
    hows = dict.fromkeys(
        f"{'all ' if a.get('AllPermutations') else ''}{a['Permutations']:,} {a['Exchangeability']}"
        for _, a in tests
    )
    used = {word for _, about in tests for word in texts(about.get("Inference"))}
    if not tests:
        return
    cited = "[@freedman1983; @winkler2014]" if "permutations" in str(hows) else "[@winkler2014]"
    yield (
        f"The {'contrast' if len(names) == 1 else 'contrasts'} {listing(names, 16)} "
        f"{'was' if len(names) == 1 else 'were'} tested by {listing(list(hows), 4)} {cited}."
    )
    ways = {
        "maxt": "single pairs by the largest statistic of all pairs (max-T)",
        "nbs": "components of pairs beyond a threshold by the network-based statistic, in extent "
        "and intensity [@zalesky2010]",
        "tfnbs": "pairs by the threshold-free network-based statistic [@baggio2018]",
        "cnbs": "pairs of networks by the constrained network-based statistic [@noble2020]",
    }
    controlled = listing([words for way, words in ways.items() if way in used])
    yield f"The family-wise error was controlled for {controlled}."
    if "nbs" in used:
        yield "The test of a component is not a test of any single pair of it."


def _means_and_tests(level: Level, results: Sequence[Result]) -> Iterator[str]:
    used = level.runs[level.runs["excluded"] != 1]
    people, runs = used["participant_id"].nunique(), used["source"].nunique()
    yield f"The group level rests on {count(people, 'participant')} and {count(runs, 'run')}."
    if runs > people:
        yield (
            "Runs of a participant were averaged first, weighted by the inverse of the variance "
            "that Fisher's z has for the degrees of freedom that cleaning leaves."
        )
    if spaces := dict.fromkeys(space for result in results for space in result.pooled):
        yield (
            "Participants whose images were in different spaces "
            f"({listing(list(spaces), 16)}) were pooled, at the same seeds."
        )
    if any(Scale(result.stat).transformed for result in results):
        yield (
            "Correlations were averaged over participants as Fisher's z "
            "[@fisher1915; @silver1987], and the means transformed back."
        )
    tested = [result for result in results if "q" in result.whats]
    if tested:
        least = [result.about.get("MinimumParticipants") for result in tested]
        fewest = max([2, *(n for n in least if isinstance(n, int))])
        tails = listing([_TAILS[tail] for tail in dict.fromkeys(map(_tail_of_means, tested))])
        yield (
            f"Means of Fisher's z were compared with zero by {tails} one-sample t tests, "
            "corrected over all pairs of seeds by the false discovery rate [@benjamini1995]. "
            f"Pairs of fewer than {fewest} participants were not tested."
        )
    strategies_of: dict[str, dict[str, None]] = {}
    for result in tested:
        for reason in result.against_zero:
            cited = reason.replace(MURPHY, "[@murphy2009]")
            strategies_of.setdefault(cited, {})[result.strategy] = None
    for reason, strategies in strategies_of.items():
        names = listing([code(name) for name in strategies], 16)
        yield f"After {names} these tests do not hold: {reason}."
    if any("networks" in result.whats for result in results):
        yield (
            "Connectivity within and between networks is the mean over their pairs of seeds in "
            f"each participant, averaged over participants with {round(100 * CONFIDENCE)} % "
            "confidence intervals of Student's t."
        )


def _tail_of_means(result: Result) -> str:
    return str(result.sidecar("q").get("Tail", "two"))


def _benchmarks(level: Level) -> Iterator[str]:
    if not level.strategies["qc_fc_median"].notna().any():
        return
    names = dict.fromkeys(name for result in level.results for name in result.covariates)
    adjusted = f", adjusted for {listing([code(n) for n in names], 16)}" if names else ""
    yield (
        "What head motion still explains after cleaning was measured by QC-FC, the correlation "
        "over participants of the strength of each pair with mean framewise displacement (over "
        f"all volumes of all runs of the task, before censoring){adjusted}, the "
        "share of pairs in which it has an uncorrected p below 0.05, and its rank correlation with "
        "the distance of the two seeds [@ciric2017; @parkes2018]."
    )
    if level.strategies["modularity"].notna().any():
        yield (
            "Modularity is that of the positive part of the mean matrix for the networks of the "
            "seeds [@newman2004]."
        )
