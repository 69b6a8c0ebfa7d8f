"""Contrasts of the group level from the command line, against statsmodels and scipy."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats

from bids_spheres.errors import DataError, UsageError
from bids_spheres.group.model import contrast_for, read_contrasts
from tests.group.conftest import GROUP, PEARSON, correlations, read_tsv, upper, without

LABELS = [f"{i:02d}" for i in range(1, 25)]
S = 5


@pytest.fixture
def filled(outputs, rng):
    """24 participants of three sites; a node lacks in four. Also Fisher z of edges, and a table."""
    table = pd.DataFrame(
        {
            "participant_id": LABELS,
            "age": rng.uniform(20, 70, len(LABELS)).round(1),
            "sex": list("FM") * 12,
            "site": list("abcc") * 6,
        }
    )
    matrices = [correlations(rng, S, shared=0.01 * age) for age in table["age"]]
    matrices[:4] = [without(matrix, 2) for matrix in matrices[:4]]
    for label, matrix in zip(LABELS, matrices, strict=True):
        outputs.add(label, matrix)
    outputs.participants(**{name: table[name] for name in table})
    return outputs, np.arctanh([upper(matrix) for matrix in matrices]), table


@pytest.fixture
def call(run_app, tmp_path):
    """Call the group level without a page."""

    def run(outputs, *words):
        return run_app(tmp_path / "no", outputs.root, "group", "--report-level", "none", *words)

    return run


def edges_of(outputs, contrast):
    path = outputs.path(f"stat-{PEARSON}_desc-simple_contrast-{contrast}_edges.tsv")
    return read_tsv(path), json.loads(path.with_suffix(".json").read_text())


def fits(z, table, formula):
    """Fits of statsmodels, edge by edge, of the participants who have it."""
    for values in z.T:
        yield smf.ols(f"z ~ {formula}", table.assign(z=values).dropna()).fit()


MODEL = ("--model", "age + sex + C(site)")


@pytest.mark.parametrize(
    ("text", "constraint"),
    [
        ("age", "age = 0"),
        ("sex", "sex[T.M] = 0"),
        ("0.5*C(site)[T.b] - C(site)[T.c]", "0.5*C(site)[T.b] - C(site)[T.c] = 0"),
        ("-2*age+Intercept", "Intercept - 2*age = 0"),
    ],
)
def test_sums_of_terms_are_those_of_statsmodels(filled, call, text, constraint):
    outputs, z, table = filled
    done = call(outputs, *MODEL, "--contrast", f"it={text}")
    assert done.status == 0, done.err
    edges, about = edges_of(outputs, "it")
    assert edges["edge"].tolist() == list(range(1, z.shape[1] + 1))
    for row, fit in zip(edges.itertuples(), fits(z, table, MODEL[1]), strict=True):
        expected = fit.t_test(constraint)
        got = [row.effect, row.standard_error, row.t, row.p, row.ci_low, row.ci_high]
        limits = expected.conf_int(0.05)[0]
        numbers = [expected.effect, expected.sd, expected.tvalue, expected.pvalue]
        np.testing.assert_allclose(got, [*(np.squeeze(n) for n in numbers), *limits], rtol=1e-7)
        assert (row.n, row.degrees_of_freedom) == (fit.nobs, fit.df_resid)
        assert row.d == pytest.approx(row.effect / np.sqrt(fit.scale))
        assert row.partial_r == pytest.approx(row.t / np.sqrt(row.t**2 + fit.df_resid))
    np.testing.assert_allclose(edges["q"], stats.false_discovery_control(edges["p"]), rtol=1e-8)
    assert set(edges["n"]) == {20, 24}
    assert about["Model"] == MODEL[1]
    assert about["Tail"] == "two"
    assert "f" not in edges


@pytest.mark.parametrize(
    "text", ["C(site)", "C(site)[T.b], C(site)[T.c]", "C(site)[T.c],-C( site )[T.b]"]
)
def test_all_levels_of_a_factor_together(filled, call, text):
    outputs, z, table = filled
    assert call(outputs, *MODEL, "--contrast", f"F:site={text}").status == 0
    edges, about = edges_of(outputs, "site")
    for row, fit in zip(edges.itertuples(), fits(z, table, MODEL[1]), strict=True):
        expected = fit.f_test("C(site)[T.b] = C(site)[T.c] = 0")
        np.testing.assert_allclose([row.f, row.p], [expected.fvalue, expected.pvalue], rtol=1e-7)
        eta2 = 2 * row.f / (2 * row.f + fit.df_resid)
        assert row.partial_r == pytest.approx(np.sqrt(eta2))
    assert not {"effect", "t", "d", "ci_low"} & set(edges)
    assert (about["Tail"], len(about["Weights"])) == ("n/a", 2)


@pytest.mark.parametrize(("tail", "alternative"), [("positive", "greater"), ("negative", "less")])
def test_one_tail_of_the_mean(filled, call, tail, alternative):
    outputs, z, _ = filled
    assert call(outputs, "--tail", tail).status == 0
    edges, about = edges_of(outputs, "mean")
    for row, values in zip(edges.itertuples(), z.T, strict=True):
        known = values[~np.isnan(values)]
        expected = stats.ttest_1samp(known, 0, alternative=alternative)
        got = [row.t, row.p, row.effect, row.d]
        d = known.mean() / known.std(ddof=1)
        wanted = [expected.statistic, expected.pvalue, known.mean(), d]
        np.testing.assert_allclose(got, wanted, rtol=1e-7)
        limits = stats.ttest_1samp(known, 0).confidence_interval(0.95)
        np.testing.assert_allclose([row.ci_low, row.ci_high], limits, rtol=1e-7)
    assert (about["Contrast"], about["Tail"]) == ("mean", tail)
    np.testing.assert_allclose(upper(outputs.matrix("p")), edges["p"], rtol=1e-8)


def test_contrasts_of_an_earlier_call_are_removed(filled, call):
    outputs, _, _ = filled
    call(outputs, *MODEL, "--contrast", "old=age", "F:site=C(site)")
    assert {path.name for path in (outputs.root / "group").glob("*_contrast-*.tsv")} == {
        f"{GROUP}_stat-{PEARSON}_desc-simple_contrast-{name}_edges.tsv" for name in ("old", "site")
    }
    call(outputs)
    (left,) = (outputs.root / "group").glob("*_contrast-*.tsv")
    assert "_contrast-mean_" in left.name


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--contrast", "a=age"), "--model"),
        ((*MODEL, "--contrast", "age"), "NAME=TERMS"),
        ((*MODEL, "--contrast", "my age=age"), "letters and digits"),
        ((*MODEL, "--contrast", "a=age", "F:a=sex"), "Two contrasts"),
        ((*MODEL, "--contrast", "a=agee"), "Did you mean age"),
        ((*MODEL, "--contrast", "a=age sex"), "agesex"),
        ((*MODEL, "--contrast", "a=C(site)"), "F:NAME=TERM"),
        ((*MODEL, "--contrast", "a=age*2"), "no sum of terms"),
    ],
)
def test_contrasts_that_can_not_be_read_change_nothing(filled, call, words, said):
    outputs, _, _ = filled
    assert call(outputs).status == 0
    before = {p: p.read_bytes() for p in sorted(outputs.root.rglob("*")) if p.is_file()}
    done = call(outputs, *words)
    assert done.status == 2
    assert said in done.err
    assert {p: p.read_bytes() for p in sorted(outputs.root.rglob("*")) if p.is_file()} == before


def test_weights_that_follow_from_one_another():
    for word in ("F:x=a,b,a-b", "x=a-a"):
        (contrast,) = read_contrasts([word])
        with pytest.raises(DataError, match="all 0, or"):
            contrast_for(contrast, ("a", "b"), {"a": (0,), "b": (1,)})
    with pytest.raises(UsageError, match="no sum"):
        contrast_for(read_contrasts(["x=c"])[0], ("a",), {})


def test_the_minimum_of_participants_is_enough(filled, call):
    outputs, _, _ = filled
    for least, tested in ((20, 10), (21, 6)):
        call(outputs, *MODEL, "--contrast", "old=age", "--min-participants", least)
        edges, _ = edges_of(outputs, "old")
        assert np.isfinite(edges["p"]).sum() == tested
        assert np.isfinite(edges["effect"]).all()


def test_names_that_differ_by_case_alone_are_refused():
    with pytest.raises(UsageError, match="Two contrasts have the name Age, where case"):
        read_contrasts(["age=age", "Age=age"])
