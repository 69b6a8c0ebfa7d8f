"""Formulas and participants.tsv to designs."""

from __future__ import annotations

import builtins
import json

import numpy as np
import pandas as pd
import patsy
import pytest

from bids_spheres.errors import DataError, MissingInputError, UsageError
from bids_spheres.group.model import (
    contrast_for,
    design_for,
    load_model,
    read_contrasts,
    read_participants,
)
from bids_spheres.group.options import GroupOptions

LABELS = [f"sub-{i:02d}" for i in range(1, 13)]
AGES = [20, 31, 42, 25, 36, 47, 28, 39, 50, 23, 34, 45]
SEXES = list("FMFMMFFMFMMF")
FD = dict(zip(LABELS, np.linspace(0.05, 0.6, 12) ** 2, strict=True))


def table(path, **columns):
    names = ["participant_id", *columns]
    rows = zip(LABELS, *columns.values(), strict=True)
    lines = ["\t".join("n/a" if cell is None else str(cell) for cell in row) for row in rows]
    path.write_text("\n".join(["\t".join(names), *lines]) + "\n")
    return path


def design(folder, formula, mean_fd=FD, /, **columns):
    path = table(folder / "participants.tsv", **(columns or {"age": AGES, "sex": SEXES}))
    model = load_model(folder, GroupOptions(model=formula, participants_table=path))
    return design_for(model, mean_fd)


@pytest.mark.parametrize(
    "formula",
    [
        "age + sex",
        "~ age * sex",
        "age + C(site)",
        "age + sex + mean_fd",
        "center(age)",
        "log(age) + sex",
        "1",
        "sex - 1",
    ],
)
def test_designs_are_those_of_patsy(tmp_path, formula):
    sites = [1, 2, 3] * 4
    made = design(tmp_path, formula, age=AGES, sex=SEXES, site=sites).design
    data = {"age": AGES, "sex": SEXES, "site": sites, "mean_fd": list(FD.values())}
    functions = patsy.EvalEnvironment([{"log": np.log}])
    expected = np.asarray(patsy.dmatrix(formula, pd.DataFrame(data), functions))
    assert made.participants == tuple(LABELS)
    order = [np.flatnonzero([np.allclose(x, y) for y in expected.T]) for x in made.values.T]
    assert sorted(int(found[0]) for found in order) == list(range(expected.shape[1]))


def test_terms_have_the_names_of_their_levels(tmp_path):
    made = design(tmp_path, "age + C(site)", age=AGES, site=[1, 2, None, 1] * 3)
    assert made.design.terms == ("Intercept", "age", "C(site)[T.2]")


def test_whoever_lacks_a_variable_is_left_out_and_named(tmp_path):
    ages = [None, *AGES[1:]]
    sexes = [SEXES[0], None, *SEXES[2:]]
    ages[10] = sexes[10] = None
    other = [None] * 12  # not in the model
    fd = {**{label: FD[label] for label in LABELS[:11]}, "sub-77": 0.1, "sub-03": np.nan}
    made = design(tmp_path, "age + sex + mean_fd", fd, age=ages, sex=sexes, other=other)
    assert made.left_out == {
        "sub-01": "without age",
        "sub-02": "without sex",
        "sub-03": "without mean_fd",
        "sub-11": "without age and sex",
        "sub-77": "not in participants.tsv",
    }
    assert made.design.participants == tuple(LABELS[3:10])
    np.testing.assert_array_equal(made.design.values[:, 1], AGES[3:10])


def test_a_function_that_hides_its_variable(tmp_path):
    made = design(tmp_path, "poly(age, degree=2)", age=[None, *AGES[1:]])
    assert made.left_out == {"sub-01": "without age"}
    assert made.design.values.shape == (11, 3)


def test_when_no_label_is_in_the_table_both_are_shown(tmp_path):
    mean_fd = {"sub-1": 0.1, "sub-2": 0.2}
    with pytest.raises(DataError, match=r"sub-1 \(not in participants.tsv\)") as caught:
        design(tmp_path, "age", mean_fd)
    assert "sub-01" in caught.value.hint


def test_participants_need_no_row_when_nothing_of_it_is_used(tmp_path):
    motion = {"sub-50": 0.1, "sub-01": 0.3, "sub-52": 0.2}
    made = design(tmp_path, "mean_fd", motion, age=AGES)
    np.testing.assert_array_equal(made.design.values, [[1, 0.1], [1, 0.3], [1, 0.2]])
    assert (made.design.participants, made.left_out) == (tuple(motion), {})


def test_ids_with_and_without_their_key(tmp_path):
    path = tmp_path / "participants.tsv"
    path.write_text("\ufeffparticipant_id\tage\n007\t30\nsub-008\t\n")
    read = read_participants(path)
    assert read.index.tolist() == ["sub-007", "sub-008"]
    assert read["age"].iloc[0] == 30
    assert np.isnan(read["age"].iloc[1])


def test_quotes_in_the_table_are_characters(tmp_path):
    """BIDS has none around cells: one that begins a remark must not swallow the rows below."""
    path = tmp_path / "participants.tsv"
    path.write_text('participant_id\tnote\tage\nsub-1\t"odd\t30\nsub-2\tcap 5"\t31\nsub-3\t"\t32\n')
    read = read_participants(path)
    assert read["age"].tolist() == [30, 31, 32]
    assert read["note"].tolist() == ['"odd', 'cap 5"', '"']


def test_quotes_around_all_words_as_r_writes_them(tmp_path):
    path = tmp_path / "participants.tsv"
    rows = ['"participant_id"\t"age"\t"sex"', '"sub-1"\t30\t"F"', '"sub-2"\tn/a\t"n/a"']
    path.write_text("\n".join(rows) + "\n")
    read = read_participants(path)
    assert read.index.tolist() == ["sub-1", "sub-2"]
    assert read["age"].iloc[0] == 30
    assert read["sex"].iloc[0] == "F"
    assert read.loc["sub-2"].isna().all()


def test_rows_without_a_label_are_no_participants(tmp_path):
    path = tmp_path / "participants.tsv"
    path.write_text("participant_id\tage\nsub-1\t30\nn/a\t31\nn/a\t32\nsub-2\t33\n")
    assert read_participants(path)["age"].to_dict() == {"sub-1": 30, "sub-2": 33}


def test_a_variable_that_is_the_same_in_all_is_told(tmp_path):
    made = design(tmp_path, "age + sex", age=AGES, sex=["F"] * 12)
    assert made.design.terms == ("Intercept", "age")
    assert made.notes == ("sex is the same in all participants of the model",)


def test_codes_of_categories_taken_as_numbers_are_told(tmp_path):
    about = {"site": {"Levels": {"1": "Here", "2": "There"}}, "age": {"Units": "year"}}
    (tmp_path / "participants.json").write_text(json.dumps(about))
    columns = {"age": AGES, "site": [1, 2] * 6}
    (note,) = design(tmp_path, "age + site", **columns).notes
    assert "C(site)" in note
    assert design(tmp_path, "age + C(site)", **columns).notes == ()
    (note,) = design(tmp_path, "site", site=[1.5, 2] * 6).notes
    assert "C(site)" in note


@pytest.mark.parametrize(
    ("formula", "error", "said"),
    [
        ("ages + sex", UsageError, "Did you mean age"),
        ("age +", UsageError, "can't be used"),
        ("y ~ age", UsageError, "one side"),
        ("age ~ sex", UsageError, "one side"),
        ("age | sex", UsageError, "random effects"),
        ("bogus(age)", UsageError, "bogus"),
        ("age + session", UsageError, "The model names session"),
        (
            "log(age - 30)",
            UsageError,
            "can't be used",
        ),  # nobody is left out for a NaN of a function
    ],
)
def test_formulas_that_make_no_sense(tmp_path, formula, error, said):
    with pytest.raises(error, match=said):
        design(tmp_path, formula)


@pytest.mark.parametrize(
    ("formula", "columns", "said"),
    [
        ("age + twice", {"age": AGES, "twice": [2 * age for age in AGES]}, "told apart"),
        ("age", {"age": [30] * 12}, "told apart"),
        ("age", {"age": [None] * 12}, "No participant"),
        ("age", {"age": [*AGES[:-1], "89+"]}, "89"),
        ("C(site)", {"site": list(range(12))}, "too few"),
        ("0", {"age": AGES}, "no terms"),
        ("log(age)", {"age": [0, *AGES[1:]]}, "finite"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_variables_that_can_not_be_used(tmp_path, formula, columns, said):
    with pytest.raises(DataError, match=said):
        design(tmp_path, formula, **columns)


def test_numbers_are_categories_where_the_formula_says_so(tmp_path):
    made = design(tmp_path, "C(site)", site=["1", "2", "A"] * 4)
    assert made.design.terms == ("Intercept", "C(site)[T.2]", "C(site)[T.A]")


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        (None, MissingInputError, "is missing"),
        ("", DataError, "no table"),
        ("age\n3\n", DataError, "participant_id"),
        ("participant_id\tage\nsub-1\t3\n1\t4\n", DataError, "sub-1 twice"),
        ("participant_id\tage\n1\t3\n2\t4\nsub-1\t5\n", DataError, "sub-1 twice"),
    ],
)
def test_tables_of_participants_that_can_not_be_used(tmp_path, text, error, said):
    path = tmp_path / "participants.tsv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(error, match=said):
        load_model(tmp_path, GroupOptions(model="age"))


def test_without_a_model_nothing_is_needed(tmp_path):
    assert load_model(tmp_path, GroupOptions()) is None


def test_without_the_library_the_message_says_what_to_install(tmp_path, monkeypatch):
    import_ = builtins.__import__

    def without(name, *arguments, **keywords):
        if name.partition(".")[0] == "formulaic":
            raise ImportError(name)
        return import_(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr("bids_spheres.group.formula.import_module", without)
    with pytest.raises(MissingInputError, match=r"bids-spheres\[group\]"):
        load_model(tmp_path, GroupOptions(model="age"))


def test_a_column_with_the_name_of_mean_framewise_displacement_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"participants\.tsv has a column mean_fd"):
        design(tmp_path, "age", age=AGES, mean_fd=AGES)


def test_words_that_stand_for_missing_and_those_that_do_not(tmp_path):
    path = tmp_path / "participants.tsv"
    words = ("n/a", "N/A", "NaN", "nan", "", "NA", "None", "null", "-")
    rows = [f"{i}\t{word}\tx" for i, word in enumerate(words)]
    path.write_text("\n".join(["participant_id\tword\tlast", *rows]) + "\n")
    read = read_participants(path)["word"]
    assert read.isna().tolist() == [True] * 5 + [False] * 4
    assert read.dropna().tolist() == ["NA", "None", "null", "-"]


def test_columns_that_options_name_are_needed_and_not_remarked_on(tmp_path):
    path = table(tmp_path / "participants.tsv", age=AGES, site=["a"] * 11 + [None], x=[1] * 12)
    about = {"site": {"Levels": {"a": "Here"}}, "x": {"Levels": {}}}
    path.with_suffix(".json").write_text(json.dumps(about))
    options = GroupOptions(model="age", blocks="site", clusters="x", participants_table=path)
    made = design_for(load_model(tmp_path, options), FD)
    assert made.left_out == {"sub-12": "without site"}
    assert made.notes == ()
    assert made.columns == {"age"}
    assert made.data["site"].tolist() == ["a"] * 11
    without = load_model(tmp_path, GroupOptions(harmonize="site", participants_table=path))
    assert without.formula.text == "1"
    assert design_for(without, FD).design.terms == ("Intercept",)


@pytest.mark.parametrize(
    "named",
    [
        *({name: "sites"} for name in ("blocks", "variance_groups", "clusters", "harmonize")),
        {"blocks": "site", "variance_groups": "sites"},
        {"blocks": "site", "variance_groups": "age", "harmonize": "sites"},
    ],
)
def test_columns_that_options_name_and_that_are_not_there(tmp_path, named):
    path = table(tmp_path / "participants.tsv", age=AGES, site=list("ab") * 6)
    options = GroupOptions(model="age", participants_table=path, **named)
    with pytest.raises(UsageError, match="An option names sites") as error:
        load_model(tmp_path, options)
    assert error.value.hint.startswith("Did you mean site? Its columns are: age and site. ")
    assert "--participants-table" in error.value.hint


def test_terms_of_as_many_participants_as_terms_leave_nothing(tmp_path):
    fd = {label: FD[label] for label in LABELS[:3]}
    with pytest.raises(DataError, match=r"has 3 terms .* and 3 participants"):
        design(tmp_path, "age + mean_fd", fd)
    assert design(tmp_path, "age + mean_fd", {**fd, LABELS[5]: 0.4}).design.values.shape == (4, 3)


def test_participants_of_a_design_can_be_fewer(tmp_path):
    made = design(tmp_path, "age").design
    part = made.only(["sub-07", "sub-03", "sub-99"])
    assert part.participants == ("sub-03", "sub-07")
    np.testing.assert_array_equal(part.values, [[1, AGES[2]], [1, AGES[6]]])
    assert (part.terms, part.groups) == (made.terms, made.groups)


TERMS = ("Intercept", "a", "ab", "a:ab", "poly(a, 2)[1]", "poly(a, 2)[2]", "C(x, [1, 2])[T.2]")
TERMS += ("a-b", "b")


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("a", {1: 1}),
        ("ab - a", {2: 1, 1: -1}),
        (".5*a + 2.*ab-a:ab", {1: 0.5, 2: 2, 3: -1}),
        ("-poly(a,2)[1] + 3 * Intercept", {4: -1, 0: 3}),
        ("a + a + 0.25*a", {1: 2.25}),
        ("+C(x, [1,2])[T.2]", {6: 1}),
        ("ab - 2*a-b + a", {2: 1, 7: -2, 1: 1}),  # a name with a sign is no difference
    ],
)
def test_weights_of_sums_of_terms(text, weights):
    (contrast,) = read_contrasts([f"it={text}"])
    found = contrast_for(contrast, TERMS, {})
    expected = np.zeros((1, len(TERMS)))
    expected[0, list(weights)] = list(weights.values())
    np.testing.assert_array_equal(found.weights, expected)
    assert (found.name, found.is_f) == ("it", False)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a", [1]),
        ("poly(a, 2)", [4, 5]),
        ("poly(a, 2)[2], C(x, [1, 2])[T.2]", [5, 6]),
        ("a:ab,poly(a, 2)", [3, 4, 5]),
    ],
)
def test_parts_of_an_f_test_are_terms_or_columns(text, rows):
    (contrast,) = read_contrasts([f"F:it={text}"])
    assert contrast.is_f
    found = contrast_for(contrast, TERMS, {"poly(a, 2)": (4, 5), "a": (1,)})
    np.testing.assert_array_equal(found.weights, np.eye(len(TERMS))[rows])


def test_commas_in_names_of_levels_do_not_divide_an_f_test():
    terms = ("Intercept", "C(site)[T.a,b]", "C(site)[T.c]", "age")
    (contrast,) = read_contrasts(["F:it=C(site)[T.a, b],age"])
    np.testing.assert_array_equal(contrast_for(contrast, terms, {}).weights, np.eye(4)[[1, 3]])


@pytest.mark.parametrize("text", ["2a", "a**2", "a-", "c", "a*2", "poly(a,2)", "--a", "a,ab"])
def test_texts_that_are_no_sum_of_terms(text):
    (contrast,) = read_contrasts([f"it={text}"])
    with pytest.raises(UsageError, match="is no sum of terms of the model"):
        contrast_for(contrast, TERMS, {"poly(a, 2)": (4, 5)})


def test_columns_that_only_options_name_can_be_of_any_kind(tmp_path):
    path = table(tmp_path / "participants.tsv", age=AGES, family=["1", "2", "A", 4] * 3)
    options = GroupOptions(model="age", blocks="family", participants_table=path)
    assert design_for(load_model(tmp_path, options), FD).design.terms == ("Intercept", "age")


def test_fractions_among_whole_numbers_stay(tmp_path):
    doses = [0.25, None, 2.5, 1.75, *range(8)]
    made = design(tmp_path, "dose", dose=doses)
    assert made.design.values[:, 1].tolist() == [0.25, 2.5, 1.75, *range(8)]


def test_variables_of_tiny_units_are_told_apart(tmp_path):
    """In a column of moles, beside one of years."""
    doses = [1e-17 * dose for dose in (3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8)]
    made = design(tmp_path, "age + dose", age=AGES, dose=doses)
    np.testing.assert_array_equal(made.design.values[:, 2], doses)
