"""Formulas: what is refused before anything of them is evaluated, and designs of the others."""

from __future__ import annotations

import builtins
import os
import time

import formulaic
import numpy as np
import pandas as pd
import patsy
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bids_spheres.errors import BidsSpheresError, DataError, UsageError
from bids_spheres.group import formula as formula_module
from bids_spheres.group.formula import MAX_COLUMNS, read_formula

N = 60
RANDOM = np.random.default_rng(4)
DATA = pd.DataFrame(
    {
        "age": RANDOM.uniform(20, 60, N),
        "iq": RANDOM.integers(80, 130, N),
        "sex": list("FM") * 30,
        "site": list("abc") * 20,
        "scanner id": RANDOM.permutation([1, 2, 3, 4] * 15),
    }
)


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch):
    """Whoever reaches for the system from a formula fails the test."""

    def reached(*arguments, **keywords):
        raise AssertionError(f"code of a formula ran: {arguments}{keywords}")

    for module, name in ((os, "system"), (os, "popen"), (builtins, "breakpoint")):
        monkeypatch.setattr(module, name, reached)


def spans_the_same(one, other):
    """Whether the columns of two matrices span one space."""
    scaled = [m / np.maximum(np.linalg.norm(m, axis=0), 1e-300) for m in (one, other)]
    ranks = [np.linalg.matrix_rank(m, tol=1e-8) for m in (*scaled, np.hstack(scaled))]
    return len(set(ranks)) == 1


ATTACKS = [
    '{np.f2py.os.system("touch x")}',
    '{open("x", "w").write("x") + age}',
    '{age.to_csv("x")}',
    "age.to_csv('x')",
    "I(age.values)",
    "I((lambda: age)())",
    "I([x for x in age])",
    "I(age[0])",
    "I(f'{age}')",
    "I(age if age else iq)",
    "I(age := 1)",
    "I(*age)",
    "I(**{'data': age})",
    "center(age, **{'x': 1})",
    "__import__('os').system('x')",
    "eval('1')",
    "I(eval('1'))",
    "getattr(age, 'to_csv')('x')",
    "C(site, contr.custom.__init__)",
    "C(site, np.f2py)",
    "C(site, levels=open('x', 'w'))",
    "poly(age, degree=open('x', 'w'))",
    "Q('''a\"b''')",
    "I(Q('a\\\\\"+breakpoint()+\"'))",
    "log(`age`+breakpoint())",
    'log(`a"]+breakpoint()+["`)',
    "Q('a\" + breakpoint() + \"b')",
    "C(site, Treatment('a\" + breakpoint() + \"'))",
    "`1` + age",
    "hashed(site, levels=10)",
    "lag(age, 1)",
    "breakpoint()",
    "{breakpoint()}",
    "age + [site ~ sex]",
    "'age'",
    "age = iq",
    "age @ iq",
    "age %o% iq",
    ".",
    "age\n+ iq",
    "I('a' * 9)",
    "I([1] * 9)",
    "Q('age', x=breakpoint())",
    "I(Q('age', breakpoint()))",
    "I(Q(age))",
    "I(age == [1, 2])",
    "center(age, data=1)",
    "I(age is iq)",
    "I(age is not iq)",
    "I(age in iq)",
    "I(age not in iq)",
    "I(-breakpoint())",
    "I(age + breakpoint())",
    "I(breakpoint() > age)",
    "I(age > breakpoint())",
    "I(site == 'a\" + breakpoint() + \"b')",
    "I(site == 'a\\n')",
    "I(age**breakpoint())",
    "C(breakpoint())",
    "C(site, breakpoint())",
    "C(site, contrasts=breakpoint())",
    "C(site, Treatment(reference=breakpoint()))",
    "bs(age, knots=[breakpoint()])",
    "poly(breakpoint(), 2)",
    "log(breakpoint())",
]


@pytest.mark.parametrize("formula", ATTACKS)
def test_code_is_refused(formula, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError):
        read_formula(formula)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "formula",
    [
        "9**9**9",
        "I(9**9**9)",
        "{age + 9**9**9}",
        f"I({'I(' * 60}9{')**10' * 60})",
        f"I({'(' * 60}C(age){')**10' * 60})",
        "I(age**9**9**9)",
        "I(age**11)",
        "(age + iq + sex)**200",
        "((age + iq + sex)**9)**9",
        "(age + iq + sex + site)^10",
        "poly(age, 1000000)",
        "poly(age, degree=1000000)",
        "bs(age, df=1000000000)",
        "bs(age, degree=99)",
        "cr(age, df=10**9)",
        "*".join(f"v{i}" for i in range(40)),
        ":".join(f"v{i}" for i in range(40)),
        "+".join(["age"] * 1000),
        "(" * 1500 + "age" + ")" * 400,
        "log(" * 400 + "age" + ")" * 400,
    ],
    ids=lambda formula: formula[:25],
)
def test_what_would_take_for_ever_is_refused_at_once(formula):
    start = time.process_time()
    with pytest.raises(UsageError):
        read_formula(formula)
    assert time.process_time() - start < 2


def test_factors_of_too_many_levels_are_refused_before_they_are_built():
    codes = pd.DataFrame({name: [f"{i}" for i in range(3000)] for name in "abc"})
    for formula in ("a", "a:b:c", "C(a) * C(b)", "a*b*c", "C(Q('a'))"):
        start = time.process_time()
        with pytest.raises(DataError, match=rf"at most {MAX_COLUMNS}"):
            read_formula(formula).matrix(codes)
        assert time.process_time() - start < 1
    numbers = pd.DataFrame(
        {"a": [i % 55 for i in range(3000)], "b": [i // 55 for i in range(3000)]}
    )
    with pytest.raises(DataError, match="would have up to 3001 columns"):
        read_formula("C(a + 100 * b)").matrix(numbers)


def test_large_designs_that_people_use_are_built():
    table = pd.DataFrame(
        {"site": [f"s{i % 150}" for i in range(900)], "age": RANDOM.normal(50, 9, 900)}
    )
    assert read_formula("age * C(site)").matrix(table).shape == (900, 300)


def test_columns_and_categories_are_known_without_evaluating():
    terms = "C(site, Treatment('b')) + log(Age) * `scanner id` + C(Q('my ID')) + site + IQ"
    read = read_formula(terms)
    assert read.categories == {"site", "my ID"}
    assert read.numbers == {"Age", "scanner id", "site", "IQ"}


def test_whole_numbers_do_not_overflow_in_powers():
    years = pd.DataFrame({"year": [1900, 1950, 2000, 2026]})
    built = read_formula("0 + I(year**9)").matrix(years).to_numpy()[:, 0]
    np.testing.assert_allclose(built, [float(x**9) for x in (1900, 1950, 2000, 2026)])
    # Also of a column of which there are categories as well.
    built = read_formula("0 + I(year**9) + C(year)").matrix(years).to_numpy(float)
    np.testing.assert_allclose(built[:, 0], [float(x**9) for x in (1900, 1950, 2000, 2026)])


def test_levels_that_leave_someone_out_are_refused():
    with pytest.raises(UsageError, match="categories"):
        read_formula("C(site, levels=['a', 'b'])").matrix(DATA)


@pytest.mark.parametrize(
    ("formula", "columns"),
    [
        ("sqrt(age) + log1p(iq) - 1", [np.sqrt(DATA["age"]), np.log1p(DATA["iq"])]),
        ("I(sex == 'F') - 1", [DATA["sex"] == "F"]),
        ("0 + I(-age / 2 + 1e3) + {iq * 2}", [1000 - DATA["age"] / 2, DATA["iq"] * 2]),
        ("poly(age, 2)", [np.ones(N), DATA["age"], DATA["age"] ** 2]),
        ("0 + C(Q('scanner id'))", [DATA["scanner id"] == i for i in (1, 2, 3, 4)]),
        ("C(`scanner`) - 1", None),
        ("C(site, contr.treatment(base='b'))", [DATA["site"] == site for site in "abc"]),
        ("C(site, contr.SAS)", [DATA["site"] == site for site in "abc"]),
        ("C(site, levels=['c', 'b', 'a'])", [DATA["site"] == site for site in "abc"]),
    ],
)
def test_designs_by_hand(formula, columns):
    if columns is None:
        with pytest.raises(UsageError, match="Q\\('name'\\)"):
            read_formula(formula)
        return
    built = read_formula(formula).matrix(DATA).to_numpy(dtype=float)
    assert spans_the_same(built, np.array(columns, dtype=float).T)


CONTRASTS = ["", ", Treatment('b')", ", Sum", ", Poly", ", Helmert", ", Diff"]
COLUMNS = st.sampled_from(["age", "iq", "sex", "site", "C(site)", 'Q("scanner id")'])
CALLS = st.one_of(
    st.sampled_from(["center(age)", "standardize(iq)", "I(age**2)", "I(age + 3 * iq)"]),
    st.sampled_from(["bs(age, df=4)", "center(exp(age / 50))", "I(iq - 100)"]),
    st.sampled_from(CONTRASTS).map(lambda contrast: f"C(site{contrast})"),
)
OPERATORS = st.sampled_from([" + ", " * ", ":", " - ", " + 0 + ", "/"])
FORMULAS = st.recursive(
    COLUMNS | CALLS,
    lambda parts: st.one_of(
        st.tuples(parts, OPERATORS, parts).map("".join),
        parts.map(lambda part: f"({part})"),
        st.tuples(parts, st.integers(1, 3)).map(lambda pair: f"({pair[0]})**{pair[1]}"),
    ),
    max_leaves=5,
)
BOUNDED = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def outcome(formula):
    """The design of `DATA`, or the error; None when it asks for other columns."""
    try:
        read = read_formula(formula)
        known = read.columns <= set(DATA.columns)
        return read.matrix(DATA).to_numpy(dtype=float) if known else None
    except BidsSpheresError as error:
        return error


@pytest.mark.slow
@BOUNDED
@given(FORMULAS)
@example("((age * age)**3)**3")
@example("C(site):")
def test_designs_of_formulas_are_those_of_formulaic_and_patsy(formula):
    ours = outcome(formula)
    if isinstance(ours, BidsSpheresError):
        # Only what formulaic can't do is refused, or could become more terms than the bound: it
        # counts them before those that are equal fall together.
        if "at most" in str(ours):
            return
        with pytest.raises(Exception, match=r".*"):
            formulaic.model_matrix(formula, DATA, context={}, na_action="raise")
        return
    theirs = formulaic.model_matrix(formula, DATA, context={}, na_action="raise")
    np.testing.assert_allclose(ours, theirs.to_numpy(dtype=float), rtol=1e-9, atol=1e-9)
    if "-" not in formula and "/" not in formula and "0" not in formula:
        expected = np.asarray(patsy.dmatrix(formula, DATA))
        assert spans_the_same(ours, expected)


WORDS = """age iq sex site `scanner_id` Q( C( I( poly( bs( Treatment( contr. Sum levels= df= + - *
** ^ / : ~ | ( ) { } [ ] , = := @ < == ' " ` \\ % in . 0 1 2 9 1e9 None True np os
breakpoint() .system('x') __class__ lambda: import é ²"""
PIECES = st.sampled_from([*WORDS.split(), " ", "\x00", "\uff41ge"])


@BOUNDED
@given(st.lists(PIECES, max_size=14).map("".join) | st.text(max_size=40))
@example("C(site, )")
@example("poly(age, degree=-3)")
@example("bs(age, df=None, knots=[30, 40])")
def test_any_text_is_a_design_or_one_error(formula):
    start = time.process_time()
    result = outcome(formula)
    assert time.process_time() - start < 5
    if isinstance(result, BidsSpheresError):
        assert result.exit_status in {2, 65}
        assert "\n" not in result.message
    elif result is not None:
        assert len(result) == N


LETTERS = "abcdefghi"


@pytest.mark.parametrize(
    ("allowed", "refused"),
    [
        ("I(age**10)", "I(age**11)"),
        ("I(age**-10)", "I(age**-11)"),
        ("I(exp(age)**10)", "I(exp(9)**10)"),
        ("poly(age, 10)", "poly(age, 11)"),
        ("poly(age, degree=10, raw=True)", "poly(age, degree=11, raw=True)"),
        ("poly(age, 2, raw=True)", "poly(age, 2, degree=11)"),
        ("poly(age, 9)", "poly(age, -11)"),
        ("bs(age, df=100)", "bs(age, df=101)"),
        ("cr(age, 100)", "cr(age, 101)"),
        ("(age)**10", "(age)**11"),
        ("(age)**1", "(age)**0"),
        ("I(age + 1e15)", "I(age + 1.01e15)"),
        ("I(age - 1e15)", "I(-1.01e15 * age)"),
        (":".join(LETTERS[:8]), ":".join(LETTERS)),
        ("age" + " " * 1997, "age" + " " * 1998),
        ("scale(age, True, True, 1)", "scale(age, True, True, 1, 2)"),
        ("center(age)", "center(age, 1)"),
        ("I(age)", "I()"),
        (
            "bs(age, 5, [30], 3, True, 0, 100, 'clip')",
            "bs(age, 5, [30], 3, True, 0, 100, 'clip', 1)",
        ),
        ("standardize(age, rescale=False)", "standardize(age, scale=False)"),
        ("scale(age, ddof=0)", "scale(age, ddof=iq)"),
        ("C(site, Treatment(reference='c'))", "C(site, Treatment(base='c'))"),
        ("C(site, contr.treatment(base='c'))", "C(site, contr.treatment(reference='c'))"),
        ("C(site, Poly(scores=[1, 2, 4]))", "C(site, Poly(reverse=True))"),
        ("C(site, Helmert(reverse=False, scale=True))", "C(site, Helmert(backward=True))"),
        ("C(site, Diff(backward=False))", "C(site, Diff(scale=True))"),
        ("C(site, Sum())", "C(site, Sum('a'))"),
        ("C(site, levels=('c', 'b', 'a'))", "C(site, levels=('c', ['b', '\"']))"),
        ("C(site, spans_intercept=False)", "C(site, base='a')"),
        ("I(sex == 'F')", "I('F' == 'F')"),
        ("I(age > 30)", "I(30 < age < 40)"),
        ("C(Q('a b'))", "C(Q('a\\\\b'))"),
        ("I(+age)", "I(~age)"),
        ("I(age / iq - 2 * age)", "I(age % 2)"),
    ],
    ids=lambda formula: formula[:25].strip(),
)
def test_what_is_just_allowed_and_what_is_not(allowed, refused):
    assert read_formula(allowed).text == allowed
    with pytest.raises(UsageError):
        read_formula(refused)


def test_terms_are_counted_before_they_are_built():
    first, second = ("+".join(f"{letter}{i}" for i in range(100)) for letter in "ab")
    with pytest.raises(UsageError, match="terms; at most 10000 are built"):
        read_formula(f"({first}):({second}) + age")
    with pytest.raises(UsageError, match="would have 10200 terms"):
        read_formula(f"({first})*({second})")
    with pytest.raises(UsageError, match="would have 9 variables in one interaction; at most 8"):
        read_formula(":".join(LETTERS))


def standardized(values, ddof=1):
    return (values - values.mean()) / values.std(ddof=ddof)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("log(age)", np.log(DATA["age"])),
        ("log2(age)", np.log2(DATA["age"])),
        ("log10(age)", np.log10(DATA["age"])),
        ("log1p(iq)", np.log1p(DATA["iq"])),
        ("exp(age / 50)", np.exp(DATA["age"] / 50)),
        ("exp2(age / 50)", 2 ** (DATA["age"] / 50)),
        ("sqrt(iq)", np.sqrt(DATA["iq"])),
        ("abs(iq - 100)", np.abs(DATA["iq"] - 100)),
        ("center(age)", DATA["age"] - DATA["age"].mean()),
        ("scale(age)", standardized(DATA["age"])),
        ("scale(age, ddof=0)", standardized(DATA["age"], 0)),
        ("standardize(age)", standardized(DATA["age"], 0)),
        ("I(age * iq)", DATA["age"] * DATA["iq"]),
        ("I(-iq + 2.5)", 2.5 - DATA["iq"]),
    ],
)
def test_functions_of_a_column_by_numpy(call, expected):
    built = read_formula(f"0 + {call}").matrix(DATA).to_numpy(float)
    np.testing.assert_allclose(built, np.array(expected, float)[:, np.newaxis], rtol=1e-9)


@pytest.mark.parametrize(
    ("formula", "most"),
    [
        ("age + iq", 3),
        ("iq", 2),
        ("site", 4),
        ("C(site)", 4),
        ("C(Q('scanner id'))", 5),
        ("Q('scanner id')", 2),
        ("site:sex", 7),
        ("age * C(site)", 8),
        ("poly(age, 4)", None),
        ("poly(age, 7)", None),
        ("bs(age, df=9)", None),
        ("bs(age, knots=[25, 30, 35, 40, 45, 50, 55])", None),
        ("cr(age, df=8)", None),
        ("C(age > 40)", None),
        ("I(age > 40)", None),
        ("1", 1),
    ],
)
def test_columns_are_counted_from_above_before_they_are_built(formula, most, monkeypatch):
    """With fewer allowed than there would be nothing is built; small designs are counted well."""
    read = read_formula(formula)
    number = read.matrix(DATA).shape[1]
    monkeypatch.setattr(formula_module, "MAX_COLUMNS", number - 1)
    with pytest.raises(DataError, match="columns; at most"):
        read.matrix(DATA)
    if most:
        monkeypatch.setattr(formula_module, "MAX_COLUMNS", most)
        assert read.matrix(DATA).shape == (N, number)


def test_a_factor_of_two_thousand_levels_and_a_constant_is_too_large():
    codes = pd.DataFrame({"a": [f"{i}" for i in range(2000)]})
    with pytest.raises(DataError, match="would have up to 2001 columns; at most 2000"):
        read_formula("a").matrix(codes)


@pytest.mark.parametrize(
    ("formula", "terms"),
    [
        ("age + C(site)", {"1": 1, "age": 1, "C(site)": 2}),
        ("0 + site + poly(age, 2)", {"site": 3, "poly(age, 2)": 2}),
        ("sex * site", {"1": 1, "sex": 1, "site": 2, "sex:site": 2}),
    ],
)
def test_columns_of_terms_are_known(formula, terms):
    table = read_formula(formula).matrix(DATA)
    found = table.attrs["terms"]
    assert {name: len(columns) for name, columns in found.items()} == terms
    numbers = [number for columns in found.values() for number in columns]
    assert sorted(numbers) == list(range(table.shape[1]))
