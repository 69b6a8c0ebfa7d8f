"""What was done at the group level, as the methods section of a paper says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bids_spheres.group.edges import CONFIDENCE, Scale
from bids_spheres.group.head_motion import MURPHY
from bids_spheres.outputs.paths import map_of_contrast
from bids_spheres.outputs.sidecars import texts
from bids_spheres.reports.group.multiverse import motion_rule, read_rule
from bids_spheres.reports.methods.references import cite, code
from bids_spheres.reports.participant.provenance import MethodsText, methods_text
from bids_spheres.wording import collect, count, listing, number, percent, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bids_spheres.reports.group.load import Level, Result

_TAILS = {
    "two": "two-sided",
    "positive": "one-sided (positive)",
    "negative": "one-sided (negative)",
}
_WAYS = {
    "maxt": "single {things} by the largest statistic of all {things} (max-T)",
    "nbs": "components of pairs{how} by the network-based statistic, in extent and intensity "
    "[@zalesky2010]",
    "tfnbs": "pairs by the threshold-free network-based statistic{how} [@baggio2018]",
    "cnbs": "pairs of networks by the constrained network-based statistic [@noble2020]",
    "cluster": "clusters of voxels that share faces{how}, in size and mass",
    "tfce": "voxels by threshold-free cluster enhancement{how} [@smith2009]",
}
_RELIABILITY = (
    "Reliability over repeated measurements was ICC(2,1) and ICC(3,1) of each pair, with 95 % "
    "confidence intervals [@shrout1979], and the share of participants who are identified by the "
    "largest correlation, that of their own measurements [@finn2015]."
)
_STABILITY = (
    "Matrices of Fisher's z of split halves of every run were correlated with one another, and "
    "those of its first 2, 4, 6 ... minutes with that of the whole; the minutes were interpolated "
    "at which this correlation [@gordon2017] and, of mean connectivity over sessions, ICC(2,1) "
    "[@noble2017] reach .8."
)


def group_methods(level: Level) -> MethodsText:
    """Sentences for what was done, and nothing else, with their references."""
    results = [result for result in level.results if result.has_matrices]
    if not (results or level.maps):
        return MethodsText()
    sentences = [*_means_and_tests(level, results), *_benchmarks(level)]
    models = [result.model_about for result in results if "model" in result.suffixes]
    formulas = collect((_errors(about), code(str(about.get("Model")))) for about in models)
    sentences += [
        f"Each pair was explained by variables of the participants in {errors} ({listing(own)}); "
        "coefficients were tested by two-sided t tests, corrected over all pairs of each term by "
        "the false discovery rate [@benjamini1995]."
        for errors, own in formulas.items()
    ]
    if "split_half" in level.strategies and level.strategies["split_half"].notna().any():
        sentences.append(_STABILITY)
    if any("reliability" in result.suffixes for result in results):
        sentences.append(_RELIABILITY)
    tests = [item for result in results for item in result.contrast_sidecars.items()]
    sentences += [*_contrasts(tests, "pairs"), *_maps(level), *_specifications(level)]
    return methods_text([" ".join(sentences)])


def _errors(about: Mapping[str, object]) -> str:
    """The kind of model, with what was assumed about errors and done about sites."""
    if about.get("ParticipantWeights"):
        words = "a random-effects model weighted by precision [@paule1982; @knapp2003]"
    else:
        words = "an ordinary least squares model"
    if clusters := about.get("Clusters"):
        words += f" with CR2 standard errors robust to {code(str(clusters))} "
        words += "[@bell2002; @pustejovsky2018]"
    if groups := about.get("VarianceGroups"):
        words += f" with a variance for each {code(str(groups))} [@winkler2014]"
    if sites := about.get("Harmonized"):
        again = ", again in each permutation" if about.get("HarmonizedInPermutations") else ""
        words += f" after ComBat over {code(str(sites))}{again} [@johnson2007; @yu2018]"
    return words


def _maps(level: Level) -> Iterator[str]:
    """How maps of seeds were averaged and tested; nothing without."""
    if not level.maps:
        return
    seeds = dict.fromkeys(str(own.name.get("label")) for own in level.maps)
    yield (
        f"Maps of Fisher's z of the correlation of {count(len(seeds), 'seed')} with every voxel "
        "were averaged over runs and tested over participants."
    )
    tests = []
    for own in level.maps:
        stat = "psize" if "psize" in own.stats else own.statistic  # which knows the threshold
        about = own.sidecar(map_of_contrast(own.contrast, stat))
        tests.append((own.contrast, about))
    yield from _contrasts(tests, "voxels")


def _contrasts(tests: Sequence[tuple[str, Mapping[str, object]]], things: str) -> Iterator[str]:
    """Which tests contrasts of pairs or voxels have, without permutations and with them."""
    kinds = []
    the = "In maps the" if things == "voxels" else "The"
    for name, about in tests:
        of_mean = about.get("Model") == "1"
        special = about.get("ParticipantWeights") or about.get("Harmonized")
        # The mean of pairs has its own sentence, their models too.
        if name != "mean" or not of_mean or special or things == "voxels":
            words = _TAILS.get(str(about.get("Tail")))
            kind = f"{words} t tests" if words else "F tests"
            if of_mean and special:
                kind += f" in {_errors(about)}"
            elif of_mean and (condition := about.get("Within")):
                kind += f" of the weighted sum of {condition}s in each participant"
            elif things == "voxels" and not of_mean:
                kind += f" in {_errors(about)} ({code(str(about.get('Model')))})"
            kinds.append((kind, name))
    for kind, names in collect(kinds).items():
        yield (
            f"{the} {_tested(names, 16)} by {kind}, corrected over all {things} by the false "
            "discovery rate [@benjamini1995]."
        )
    permuted = [(name, about) for name, about in tests if "Permutations" in about]
    if not permuted:
        return
    hows = dict.fromkeys(
        f"{'all ' if a.get('AllPermutations') else ''}{a['Permutations']:,} {a['Exchangeability']}"
        for _, a in permuted
    )
    keys = (["freedman1983"] if "permutations" in str(hows) else []) + ["winkler2014"]
    cited = cite(*keys, *(["winkler2015"] if "block" in str(hows) else []))
    names = list(dict.fromkeys(name for name, _ in permuted))
    random = [about for _, about in permuted if not about.get("AllPermutations")]
    seeds = list(dict.fromkeys(str(about.get("Seed")) for about in random))
    drawn = f", drawn with the seed {listing(seeds)}" if seeds else ""
    yield f"{the} {_tested(names, 16)} by {listing(list(hows), 4)} {cited}{drawn}."
    used = {word for _, about in permuted for word in texts(about.get("Inference"))}
    controlled = [
        words.format(things=things, how=_settings_of(way, [about for _, about in permuted]))
        for way, words in _WAYS.items()
        if way in used
    ]
    yield f"The family-wise error was controlled for {listing(controlled)}."
    if "nbs" in used:
        yield "The test of a component is not a test of any single pair of it."


def _settings_of(way: str, abouts: Sequence[Mapping[str, object]]) -> str:
    """Thresholds or powers and step of a correction, as words behind its name."""
    own = [about for about in abouts if way in texts(about.get("Inference"))]
    if way in ("nbs", "cluster"):
        known = [(about.get("Threshold"), about.get("Tail") == "n/a") for about in own]
        beyond = dict.fromkeys(
            f"{'a root of F' if is_f else 't'} of {number(value)}"
            for value, is_f in known
            if isinstance(value, int | float)
        )
        return f" beyond {listing(list(beyond))}" if beyond else " beyond a threshold"
    powers = [about.get(way.upper()) for about in own]
    how = dict.fromkeys(
        f"extent to the power of {p['ExtentPower']}, height of {p['HeightPower']}, "
        f"{'automatic steps' if p['Step'] == 'auto' else 'steps of {}'.format(p['Step'])}"
        for p in powers
        if isinstance(p, dict)
    )
    return f" ({'; '.join(how)})" if how else ""


def _specifications(level: Level) -> Iterator[str]:
    """How effects were compared over choices of analysis; nothing without."""
    for files in level.families:
        about = read_rule(files)
        rule = about["Robust"]
        several = [name for name, labels in about["Choices"].items() if len(labels) > 1]
        named = {"scale": "radius", "seeds": "seed set"}
        yield (
            f"Effects were estimated under all {len(about['Specifications'])} specifications of "
            f"{listing([named.get(name, name) for name in several])} [@simonsohn2020]; one was "
            "called robust if it had the same sign in all, and q below "
            f"{rule['Q']:g} in at least {percent(rule['Share'])} of those in which "
            f"{motion_rule(rule)}. The variance of estimates was divided among choices by Shapley "
            "values [@gromping2007]."
        )


def _tested(names: Sequence[str], most: int) -> str:
    """How a sentence about tests of contrasts begins, without its article."""
    n, named = len(names), listing([code(name) for name in names], most)
    return f"{plural(n, 'contrast')} {named} {plural(n, 'was', 'were')} tested"


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
            f"({listing(list(spaces), 16)}) were pooled, at the same {level.things}."
        )
    if any(Scale(result.stat).transformed for result in results):
        yield (
            "Correlations were averaged over participants as Fisher's z "
            "[@fisher1915; @silver1987], and the means transformed back."
        )
    if tested := [result for result in results if "q" in result.suffixes]:
        least = [result.about.get("MinimumParticipants") for result in tested]
        fewest = max([2, *(n for n in least if isinstance(n, int))])
        tails = dict.fromkeys(str(result.sidecar("q").get("Tail", "two")) for result in tested)
        yield (
            f"Means of Fisher's z were compared with zero by "
            f"{listing([_TAILS[tail] for tail in tails])} one-sample t tests, "
            f"corrected over all pairs of {level.things} by the false discovery rate "
            "[@benjamini1995]. "
            f"Pairs of fewer than {fewest} participants were not tested."
        )
    reasons = collect(
        (reason.replace(MURPHY, "[@murphy2009]"), code(result.strategy))
        for result in tested
        for reason in result.against_zero
    )
    for reason, names in reasons.items():
        yield f"After {listing(names, 16)} these tests do not hold: {reason}."
    if any("networks" in result.suffixes for result in results):
        yield (
            "Connectivity within and between networks is the mean over their pairs of "
            f"{level.things} in each participant, averaged over participants with "
            f"{round(100 * CONFIDENCE)} % confidence intervals of Student's t."
        )


def _benchmarks(level: Level) -> Iterator[str]:
    if not level.strategies["qc_fc_median"].notna().any():
        return
    names = [code(name) for name in level.covariates]
    adjusted = f", adjusted for {listing(names, 16)}" if names else ""
    yield (
        "What head motion still explains after cleaning was measured by QC-FC, the correlation "
        "over participants of the strength of each pair with mean framewise displacement (over "
        f"all volumes of all runs of the task, before censoring){adjusted}, the "
        "share of pairs in which it has an uncorrected p below 0.05, and its rank correlation with "
        f"the distance of the two {level.things} [@ciric2017; @parkes2018]."
    )
    if level.strategies["modularity"].notna().any():
        yield (
            "Modularity is that of the positive part of the mean matrix for the networks of the "
            f"{level.things} [@newman2004]."
        )
