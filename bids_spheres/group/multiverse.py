"""Effects over all choices of analysis: specification curves, robustness, variance explained.

What strategies, radii, measures and seed sets change is shown by all of them side by side (Simonsohn
et al. 2020, doi:10.1038/s41562-020-0912-z).
"""

from __future__ import annotations

from bids_spheres.group.edges import PAIR_COLUMNS

_EFFECT_COLUMNS = {
    "effect": {"Description": "Number of the effect, the same in both tables"},
    "contrast": {"Description": "mean: the mean against 0; else a contrast of the call"},
    "network_1": {
        "Description": "Network of one node of the edges that are averaged; n/a: the named edges"
    },
    "network_2": PAIR_COLUMNS["network_2"],
}

SPECIFICATION_COLUMNS = {
    **_EFFECT_COLUMNS,
    "rank": {"Description": "Place of the specification, from the smallest estimate, 1"},
    "group": {"Description": "Entities of the group with this specification"},
    "strategy": {"Description": "Strategy of cleaning"},
    "scale": {"Description": "Size of the spheres, where a seed set is used with several"},
    "measure": {"Description": "Measure of connectivity"},
    "seeds": {"Description": "Seed set"},
    "n": {"Description": "Participants in the test"},
    "estimate": {"Description": "Mean or contrast of the averaged edges, Fisher z"},
    "standard_error": {"Description": "Of the estimate"},
    "ci_low": {"Description": "Lower limit of its 95 % confidence interval, of both tails"},
    "ci_high": {"Description": "Upper limit of its 95 % confidence interval, of both tails"},
    "t": {"Description": "estimate / standard_error"},
    "p": {"Description": "p of t, of the tails that Tail names; not corrected"},
    "q": {
        "Description": "p corrected for all effects of the contrast in the specification (Benjamini "
        "& Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x)"
    },
    "qc_fc_median": {"Description": "QC-FC of the specification, as in strategies.tsv"},
    "qc_fc_significant": {
        "Description": "Share of its edges whose correlation with motion has p < 0.05"
    },
    "qc_fc_within_chance": {
        "Description": "1: that share is at most that of Robust; n/a where it is not known"
    },
}
"""Columns of the table of specifications, a row per effect and specification."""

EFFECT_COLUMNS = {
    **_EFFECT_COLUMNS,
    "specifications": {"Description": "Specifications that have an estimate"},
    "median": {"Description": "Median of their estimates, Fisher z"},
    "minimum": {"Description": "Smallest of their estimates"},
    "maximum": {"Description": "Largest of their estimates"},
    "positive": {"Description": "Share of the estimates that are positive"},
    "significant": {"Description": "Share of the specifications whose q is below that of Robust"},
    "within_chance": {"Description": "Specifications whose QC-FC is within chance"},
    "significant_within_chance": {"Description": "Share of those whose q is below that of Robust"},
    "verdict": {
        "Description": "robust: all estimates have one sign, and significant_within_chance is at "
        "least the share of Robust; else fragile; n/a where signs agree and no specification has "
        "QC-FC within chance"
    },
    "r_squared": {
        "Description": "Share of the variance of the estimates that main effects of the choices "
        "explain; n/a where estimates do not vary"
    },
    **{
        f"share_{choice}": {
            "Description": f"Part of r_squared that is due to the {choice}: its Shapley value "
            "(Grömping 2007, doi:10.1198/000313007X188252); n/a where there is one"
        }
        for choice in ("strategy", "scale", "measure", "seeds")
    },
}
"""Columns of the table of effects, a row each."""
