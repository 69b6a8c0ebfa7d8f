"""The group's page against what was written, read and computed here by other means."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import stats
from scipy.spatial.distance import pdist

from bids_spheres.errors import DataError, MissingInputError
from bids_spheres.reports.group import write_group_report
from bids_spheres.reports.toolkit.matrices import DIVERGING
from tests.group.conftest import PEARSON, correlations, new_outputs, upper, write_tsv
from tests.reports.group.conftest import (
    AGE,
    LABELS,
    MODEL,
    NETWORKS,
    REASON,
    STRATEGIES,
    WEIRD,
    N,
    S,
    page_of,
    read,
)

ORDER = [
    i
    for name in ("visual", "default", "<i>odd</i>", "n/a")
    for i in range(S)
    if NETWORKS[i] == name
]


@pytest.fixture
def document(made, parse):
    return parse(made[2].read_text(encoding="utf-8"))


def words(element):
    return " ".join(element.text.split())


def by_id(document, name):
    (element,) = document.all("*", id=name)
    return element


def table_of(document, name):
    """Rows of a table as dictionaries by the words of its header, with their units."""
    table = by_id(document, name)
    heads = [" ".join(words(th).split()) for th in table.all("thead")[0].all("th")]
    rows = []
    for row in table.all("tbody")[0].all("tr"):
        cells = [cell for cell in row.children if cell.tag in ("th", "td")]
        rows.append(dict(zip(heads, map(words, cells), strict=True)))
    return rows


def matrices_of(document, section, heading):
    """Strategy and element of the matrices in the block of a heading."""
    for block in by_id(document, section).all("section", **{"class": "block"}):
        if words(block.children[0]) == heading:
            figures = block.all("figure")
            return {f.attrs["data-of"]: f.all("div", **{"class": "matrix"})[0] for f in figures}
    raise AssertionError(heading)


def unpacked(values, step, n):
    whole = np.frombuffer(base64.b64decode(values), dtype="<i2").astype(float)
    matrix = np.full((n, n), np.nan)
    matrix[np.triu_indices(n)] = np.where(whole == -32768, np.nan, whole * float(step))
    return np.where(np.isnan(matrix), matrix.T, matrix)


def told(matrix):
    """What a matrix tells of each pair, by label."""
    attrs, n = matrix.attrs, int(matrix.attrs["data-n"])
    layers = {"": unpacked(attrs["data-values"], attrs["data-step"], n)}
    for layer in json.loads(attrs.get("data-more", "[]")):
        layers[layer["label"]] = unpacked(layer["values"], layer["step"], n)
    return layers


def expected_edges(matrices, strategy):
    """Fisher's z of participants, (N, pairs)."""
    return np.arctanh([upper(matrix) for matrix in matrices[strategy]])


def square(values, diagonal=np.nan):
    matrix = np.full((S, S), diagonal)
    rows, columns = np.triu_indices(S, 1)
    matrix[rows, columns] = matrix[columns, rows] = values
    return matrix[np.ix_(ORDER, ORDER)]


# The page as a whole


def test_sections_come_in_their_order(document):
    assert [words(h) for h in document.all("h2")] == [
        "Summary",
        "Warnings",
        "Choosing a strategy",
        "Participants",
        "Coverage across participants",
        "Connectivity",
        "Model",
        "Methods",
        "Provenance",
    ]
    levels = [int(e.tag[1]) for e in document.all("*") if re.fullmatch("h[1-6]", e.tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_nothing_comes_from_elsewhere(made, document):
    assert not re.search(r"url\(|@import", made[2].read_text(encoding="utf-8"))
    for element in [*document.all("img"), *document.all("image"), *document.all("use")]:
        source = element.attrs.get("src") or element.attrs["href"]
        assert source.startswith(("data:", "#"))
    for tag in ("link", "iframe", "object", "base"):
        assert not document.all(tag)
    assert not [script for script in document.all("script") if "src" in script.attrs]
    (policy,) = document.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert "default-src 'none'" in policy.attrs["content"]


def test_what_users_wrote_is_words_and_never_markup(document):
    assert not document.all("img", src="x")
    assert not document.all("b")
    assert not document.all("i")
    assert not [s for s in document.all("script") if s.text.startswith("alert")]
    assert REASON in words(by_id(document, "warnings"))
    assert any(row["Seed"] == WEIRD for row in table_of(document, "image-1-table"))
    assert f"Model: {MODEL}" in words(by_id(document, "model"))
    assert MODEL in words(by_id(document, "methods"))
    assert {row["Term"] for row in table_of(document, "model-condition-1-terms")} == {
        "Intercept",
        AGE,
        "sex[T.M]",
    }


def test_every_picture_says_what_it_shows(document):
    charts = document.all("svg", **{"class": "chart"})
    assert len(charts) > 15
    for chart in charts:
        assert chart.attrs["role"] == "img"
        assert len(chart.attrs["aria-label"]) > 20
    assert all(len(img.attrs["alt"]) > 20 for img in document.all("img"))
    for svg in document.all("svg"):
        assert svg.attrs.get("role") == "img" or svg.attrs.get("aria-hidden") == "true"


def test_identifiers_are_there_once_and_links_lead_to_them(document):
    ids = [e.attrs["id"] for e in document.all("*") if "id" in e.attrs]
    assert len(ids) == len(set(ids))
    for element in document.all("*"):
        for name in ("aria-labelledby", "data-names"):
            if name in element.attrs and name == "aria-labelledby":
                assert element.attrs[name] in ids
        if element.tag in ("a", "use") and element.attrs["href"].startswith("#"):
            assert element.attrs["href"][1:] in ids


def test_the_summary_counts(document):
    summary = words(document.all("header")[0])
    assert "25 participants, 26 runs, 2 of them excluded by a strategy." in summary
    assert "1 seed set (Tiny: 12 seeds); 2 strategies (24P and simple)" in summary
    assert "from 0.02 to 0.48 mm" in summary


# Choosing a strategy


def test_the_table_of_strategies_is_what_matrices_give(made, document):
    outputs, matrices, _ = made
    fd = 0.02 * np.arange(1, N + 1)
    fd[1] = (fd[1] + 0.1) / 2  # of all runs, an excluded one too
    rows = {row["Strategy"]: row for row in table_of(document, "strategies-table")}
    assert tuple(rows) == STRATEGIES
    for strategy, row in rows.items():
        edges = expected_edges(matrices, strategy)
        each = [
            stats.pearsonr(fd[known], edge[known])
            for edge, known in ((e, np.isfinite(e)) for e in edges.T)
        ]
        r, p = np.array([(one.statistic, one.pvalue) for one in each]).T
        assert float(row["QC-FC median |r|"]) == pytest.approx(np.median(np.abs(r)), abs=5e-4)
        assert float(row["p < .05 % of pairs"]) == pytest.approx(100 * np.mean(p < 0.05), abs=0.06)
        rho = stats.spearmanr(r, pdist(outputs.points)).statistic
        assert float(row["Distance rank corr."]) == pytest.approx(rho, abs=6e-3)
        assert int(row["N"]) == N
    assert rows["24P"]["D.o.f. lost"] == "30"
    assert rows["simple"]["Excluded"] == "2"


def test_negative_controls_are_those_of_the_table_of_strategies(tmp_path, parse):
    rng, outputs = np.random.default_rng(18), new_outputs(tmp_path / "out")
    for i, strategy in product(range(8), STRATEGIES):
        facts = {"strategy": strategy, "MeanFramewiseDisplacement": 0.1 + i / 50}
        path = outputs.add(f"{i:02d}", correlations(rng, 5), **facts)
        shares = rng.uniform(0, 0.2, 3)
        controls = {
            "control": ["seeds", "surrogate", "fluid", "mirrored"],
            "significant": [0.5, *shares],
            "significant_nominal": [0.5, *shares + 0.1],
            "similarity": [np.nan, np.nan, np.nan, rng.uniform(-1, 1)],
        }
        name = path.name.replace(f"_stat-{PEARSON}", "").replace("_relmat", "_controls")
        write_tsv(path.with_name(name), pd.DataFrame(controls))
    page, problems = page_of(outputs, controls=True)
    assert problems == []
    written = read(outputs.root / "group" / "strategies.tsv").set_index("strategy")
    rows = table_of(parse(page.read_text(encoding="utf-8")), "strategies-table")
    assert [row["Strategy"] for row in rows] == [*STRATEGIES]
    columns = {
        "Surrogates % p < .05": ("surrogate_significant", 100, 1),
        "Fluid % p < .05": ("fluid_significant", 100, 1),
        "Mirrored similarity": ("mirrored_similarity", 1, 2),
        "QC-FC excess s.d. by chance": ("qc_fc_excess", 1, 1),
    }
    for head, (column, factor, digits) in columns.items():
        expected = [factor * float(written.loc[strategy, column]) for strategy in STRATEGIES]
        assert expected[0] != pytest.approx(expected[1])
        found = [float(row[head].replace("\N{MINUS SIGN}", "-")) for row in rows]
        assert found == pytest.approx(expected, abs=0.51 * 10**-digits)


def figure(document):
    (chart,) = [
        c
        for c in document.all("svg", **{"class": "chart"})
        if c.attrs["aria-label"].startswith("QC-FC, median |r|:")
    ]
    return chart


def test_the_figure_shows_the_numbers_of_the_table(document):
    chart = figure(document)
    labels = [words(text) for text in chart.all("text")]
    rows = table_of(document, "strategies-table")
    for row in rows:
        value = f"{float(row['QC-FC median |r|']):.2f}".rstrip("0")
        assert value in labels
        assert f"{row['Strategy']} {value}" in chart.attrs["aria-label"]
    for title in ("QC-FC, median |r|", "Modularity", "D.o.f. lost"):
        assert title in labels
    dots = [p for p in chart.all("path") if p.attrs["class"].startswith("dot ")]
    assert [d.attrs["data-of"] for d in dots] == list(STRATEGIES) * 5


def test_dots_stand_at_their_values(document):
    """Where dots are, from the ticks of their column, is what labels say."""
    chart = figure(document)
    lost = [p for p in chart.all("path") if p.attrs["class"].startswith("dot ")][-2:]
    across = [float(re.match(r"M([\d.]+)", p.attrs["d"])[1]) for p in lost]
    ticks = {
        float(words(t)): float(t.attrs["x"])
        for t in chart.all("text", **{"class": "tick"})
        if float(t.attrs["x"]) > 645 and re.fullmatch(r"\d+", words(t))
    }
    (low, at_low), *_, (high, at_high) = sorted(ticks.items())
    slope = (at_high - at_low) / (high - low)
    values = [30, np.mean([120 - 60] * N + [122] * 2)]
    assert (across[1] - across[0]) / slope == pytest.approx(values[1] - values[0], abs=0.5)


def test_the_best_is_bold(document):
    rows = table_of(document, "strategies-table")
    best = [words(t) for t in figure(document).all("text", **{"class": "name value best"})]
    least = min(float(row["QC-FC median |r|"]) for row in rows)
    assert best[0] == f"{least:.2f}".rstrip("0")
    assert "30" in best


# Participants


def test_the_table_of_runs_is_that_of_files(made, document):
    outputs, _, _ = made
    written = read(outputs.root / "group" / "runs.tsv")
    rows = table_of(document, "participants-table")
    assert len(rows) == written["source"].nunique() == N + 2
    for row in rows:
        source = f"{row['Participant']}_{row['Run'].replace(' ', '_')}"
        own = written[written["source"] == source]
        assert float(row["Mean FD mm"]) == pytest.approx(float(own["mean_fd"].iloc[0]), abs=6e-3)
        for line in own.to_dict("records"):
            assert row[f"D.o.f. left {line['strategy']}"] == line["degrees_of_freedom"]
            assert row[f"Censored {line['strategy']}"] == line["n_censored"]
        assert float(row["Coverage %"]) == pytest.approx(
            100 * float(own["coverage"].iloc[0]), abs=0.06
        )
        assert row["Missing seeds"] == own["spheres_missing"].iloc[0]
    excluded = {row["Participant"]: row for row in rows if row["Look at"].startswith("excluded")}
    assert set(excluded) == {"sub-02", "sub-99"}
    assert excluded["sub-99"]["Why excluded"] == REASON


def test_runs_to_look_at_come_first_and_are_in_the_verdict(document):
    """Amber beyond 0.25 mm of mean framewise displacement, and below 96 of 120 volumes."""
    rows = table_of(document, "participants-table")
    for row in rows[2:]:
        i = LABELS.index(row["Participant"].removeprefix("sub-"))
        flags = {"head motion": 0.02 * (i + 1) > 0.25, "censoring": 100 - i < 96}
        assert row["Look at"] == ", ".join(word for word, is_flagged in flags.items() if is_flagged)
    looks = [row["Look at"] for row in rows]
    assert looks[:2] == ["excluded", "excluded"]
    assert all(looks[:21])
    assert not any(looks[21:])
    cells = by_id(document, "participants-table").all("td", **{"class": "number warn"})
    assert len(cells) == 12 + 19
    lines = by_id(document, "verdict").all("li")
    assert words(lines[0]) == "25 participants: 21 to look at"
    assert [line.attrs["class"] for line in lines[:4]] == ["bad", "bad", "bad", "warn"]
    assert "excluded by simple" in words(lines[1])
    assert words(lines[-1]) == "15 more runs: see the table of runs"


def test_participants_with_a_page_are_linked(document):
    links = by_id(document, "participants-table").all("a")
    assert [(words(a), a.attrs["href"]) for a in links] == [("sub-03", "sub-03.html")]


def test_warnings_tell_who_is_left_out_and_why(document):
    text = words(by_id(document, "warnings"))
    gone = f"1 participant without a result after simple (every run is excluded: {REASON}): sub-99."
    assert gone in text
    assert (
        f"2 of 26 runs excluded by simple: sub-02_task-rest_run-2 and sub-99_task-rest. {REASON}"
        in text
    )
    assert "sub-07 (without <b>age</b>)" in text
    assert "1 of 12 seeds is missing in some participants" in text


# Coverage


def test_seeds_that_the_group_lacks_come_first(document):
    rows = table_of(document, "image-1-table")
    assert rows[0]["Seed"] == "s3"
    there = N - len(LABELS[::5]) + 1  # that of which every run is excluded is covered
    assert int(rows[0]["Participants"]) == there
    assert float(rows[0]["Share %"]) == pytest.approx(100 * there / (N + 1), abs=0.06)
    shares = [float(row["Share %"]) for row in rows]
    assert shares == sorted(shares)
    assert "s3" in words(by_id(document, "coverage").all("p")[0])


def test_places_of_seeds_are_told(made, document):
    outputs, _, _ = made
    for row in table_of(document, "image-1-table"):
        place = outputs.points[outputs.names.index(row["Seed"])]
        assert [float(row[f"{axis} mm"]) for axis in "xyz"] == pytest.approx(place, abs=0.06)


# Connectivity


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_matrices_tell_mean_q_and_number(made, document, strategy):
    _, matrices, _ = made
    layers = told(matrices_of(document, "condition-1", "Mean")[strategy])
    z = expected_edges(matrices, strategy)
    p = np.asarray(stats.ttest_1samp(z, 0, nan_policy="omit").pvalue)
    expected = {
        "": square(np.tanh(np.nanmean(z, axis=0)), 1.0),
        "q": square(stats.false_discovery_control(p)),
        "N": square(np.sum(np.isfinite(z), axis=0)),
    }
    assert set(layers) == set(expected)
    for label, values in expected.items():
        np.testing.assert_allclose(layers[label], values, atol=1.01 * np.nanmax(values) / 65534)


def test_below_the_diagonal_are_significant_pairs_alone(made, document):
    _, matrices, _ = made
    matrix = matrices_of(document, "condition-1", "Mean")["simple"]
    uri = matrix.all("image")[0].attrs["href"].split(",", maxsplit=1)[1]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri))).convert("RGB"))
    p = np.asarray(
        stats.ttest_1samp(expected_edges(matrices, "simple"), 0, nan_policy="omit").pvalue
    )
    q = square(stats.false_discovery_control(p))
    rows, columns = np.tril_indices(S, -1)
    blank = (pixels[rows, columns] == DIVERGING[127]).all(axis=-1)
    weak = q[rows, columns] >= 0.05
    assert weak.any()
    assert not weak.all()
    assert blank[weak].all()
    strong = ~weak
    np.testing.assert_array_equal(pixels[rows, columns][strong], pixels[columns, rows][strong])


def test_names_of_rows_are_in_the_order_of_networks(made, document):
    names = json.loads(by_id(document, "names-of-rows").text)
    own = made[0].names
    assert names["image-1-names"] == [own[i] for i in ORDER]
    assert names["image-1-networks"] == ["visual", "default", "<i>odd</i>"]
    for matrix in document.all("div", **{"class": "matrix"}):
        assert len(names[matrix.attrs["data-names"]]) == int(matrix.attrs["data-n"])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_networks_have_means_and_intervals(made, document, strategy):
    _, matrices, _ = made
    z = expected_edges(matrices, strategy)
    rows, columns = np.triu_indices(S, 1)
    nets = np.array(NETWORKS)
    table = [
        row for row in table_of(document, "condition-1-networks") if row["Strategy"] == strategy
    ]
    layers = told(matrices_of(document, "condition-1", "Networks")[strategy])
    known = ["visual", "default", "<i>odd</i>"]
    assert len(table) == 6
    for row in table:
        pair = {row["Network"], row["Other network"]}
        chosen = [
            i for i, e in enumerate(zip(rows, columns, strict=True)) if set(nets[list(e)]) == pair
        ]
        person = np.nanmean(z[:, chosen], axis=1)
        limits = stats.ttest_1samp(person, 0).confidence_interval(0.95)
        values = np.tanh([person.mean(), *limits])
        told_ = [float(row[h]) for h in ("Mean", "From 95 % interval", "To 95 % interval")]
        assert told_ == pytest.approx(values, abs=6e-4)
        i, j = (known.index(row[name]) for name in ("Network", "Other network"))
        own = [layers[label][i, j] for label in ("", "95 % interval from", "to")]
        assert own == pytest.approx(values, abs=1e-4)
        assert layers["N"][i, j] == N


def test_strongest_pairs_are_lines(made, document):
    chart = by_id(document, "condition-1").all("svg", width="780")[0]
    edges = [p for p in chart.all("path") if "edge-positive" in p.attrs["class"]]
    assert len(edges) == 3  # one for each side
    z = expected_edges(made[1], "24P")
    n_positive = int((np.nanmean(z, axis=0) > 0).sum())
    assert all(edge.attrs["d"].count("M") == n_positive for edge in edges)
    assert f"{n_positive} positive" in chart.attrs["aria-label"]


# The model


def test_terms_are_counted_as_in_the_table(made, document):
    outputs, _, _ = made
    rows = table_of(document, "model-condition-1-terms")
    assert len(rows) == 3 * len(STRATEGIES)
    for row in rows:
        path = outputs.path(f"stat-pearsoncorrelation_desc-{row['Strategy']}_model.tsv")
        table = read(path)
        own = table[table["term"] == row["Term"]]
        q, b = own["q"].astype(float), own["coefficient"].astype(float)
        assert int(row["Tested pairs"]) == len(own)
        assert int(row["q < .05 pairs"]) == (q < 0.05).sum()
        assert int(row["Positive of these"]) == ((q < 0.05) & (b > 0)).sum()
        assert float(row["Least q"]) == pytest.approx(q.min(), rel=0.06)


def test_strongest_pairs_of_the_model(made, document):
    outputs, _, _ = made
    rows = table_of(document, "model-condition-1-strongest")
    assert {row["Term"] for row in rows} == {AGE, "sex[T.M]"}
    table = read(outputs.path("stat-pearsoncorrelation_desc-simple_model.tsv"))
    own = table[table["term"] == AGE].assign(p=lambda t: t["p"].astype(float)).sort_values("p")
    shown = [row for row in rows if (row["Term"], row["Strategy"]) == (AGE, "simple")]
    assert len(shown) == 15
    for row, line in zip(shown, own.to_dict("records"), strict=False):
        assert row["Pair"] == f"{line['node_1']} \N{EN DASH} {line['node_2']}"
        assert float(row["t"]) == pytest.approx(float(line["t"]), abs=6e-3)
        assert float(row["Coefficient"]) == pytest.approx(float(line["coefficient"]), abs=6e-5)


def test_the_model_says_who_is_in_it(document):
    text = words(by_id(document, "model"))
    assert "24P and simple: 23 participants; left out: sub-07 (without <b>age</b>)." in text


# Methods and provenance


def test_methods_tell_what_was_done_with_references(document):
    text = words(by_id(document, "methods"))
    for told_ in ("Fisher's z", "false discovery rate", "QC-FC", "Modularity", "least squares"):
        assert told_ in text
    links = [a.attrs["href"] for a in by_id(document, "methods").all("a")]
    assert "https://doi.org/10.1016/j.neuroimage.2017.03.020" in links
    assert "https://doi.org/10.1111/j.2517-6161.1995.tb02031.x" in links


def test_files_are_linked_and_named(made, document):
    root = made[0].root
    links = [a.attrs["href"] for a in by_id(document, "files-table").all("a")]
    tables = [p for p in (root / "group").iterdir() if p.suffix != ".json"]
    assert {f"group/{p.name}" for p in tables} == set(links)
    assert not [row for row in table_of(document, "files-table") if "not by" in row["Content"]]


def test_the_record_of_the_last_call_is_shown(made, parse, tmp_path, run_app):
    root = tmp_path / "out"
    shutil.copytree(made[0].root, root)
    (root / "logs").mkdir()
    for time, level in ((1, "group"), (2, "participant")):
        record = {
            "bids_dir": "/in put",
            "output_dir": "/out",
            "analysis_level": level,
            "model": "age",
            "min_dof": 7,
        }
        (root / "logs" / f"2026010{time}_settings.json").write_text(json.dumps(record))
    assert run_app("gone", root, "group", "--reports-only").status == 0
    document = parse((root / "group.html").read_text(encoding="utf-8"))
    text = words(by_id(document, "provenance"))
    assert "bids-spheres '/in put' /out group --config" in text
    assert "20260101_settings.json" in text
    names = [words(dt) for dt in by_id(document, "provenance").all("dt")]
    assert "model" in names
    assert "min_dof" not in names  # of the participant level


def test_the_command_that_the_page_prints_works_from_any_folder(made, parse, tmp_path, monkeypatch):
    root = tmp_path / "out"
    shutil.copytree(made[0].root, root)
    (root / "logs").mkdir()
    record = {"bids_dir": "/in", "output_dir": str(root), "analysis_level": "group"}
    path = root / "logs" / "20260101_settings.json"
    path.write_text(json.dumps(record))
    monkeypatch.chdir(tmp_path)
    document = parse(write_group_report(Path("out")).read_text(encoding="utf-8"))
    told = f"bids-spheres /in {root} group --config {path}"
    assert told in words(by_id(document, "provenance"))


# From results alone


def test_the_page_needs_no_participant_level(made, tmp_path):
    outputs, _, path = made
    shutil.copytree(
        outputs.root, tmp_path / "out", ignore=shutil.ignore_patterns("func", "group.html")
    )
    again = write_group_report(tmp_path / "out")
    assert again == tmp_path / "out" / "group.html"
    assert again.read_bytes() == path.read_bytes()


def test_without_results_there_is_a_message_and_no_page(outputs_root):
    with pytest.raises(MissingInputError, match="no results of the group level"):
        write_group_report(outputs_root)
    assert not (outputs_root / "group.html").exists()


@pytest.fixture
def outputs_root(tmp_path):
    return new_outputs(tmp_path / "out").root


def test_a_broken_table_leaves_the_page_as_it_was(made, tmp_path):
    root = tmp_path / "out"
    shutil.copytree(made[0].root, root)
    (path,) = (root / "group").glob("*desc-24P_mean.tsv")
    path.write_text("Node\ta\n1\t2\n")
    before = (root / "group.html").read_bytes()
    with pytest.raises(DataError, match=re.escape(str(path))):
        write_group_report(root)
    assert (root / "group.html").read_bytes() == before
    assert not [p for p in root.iterdir() if p.name.startswith(".tmp")]


def test_groups_of_earlier_calls_are_not_told(made, parse, tmp_path):
    outputs, _, _ = made
    shutil.copytree(outputs.root, tmp_path / "out")
    again = type(outputs)(tmp_path / "out", outputs.points, outputs.networks)
    path, _ = page_of(again, select=(("desc", ("simple",)),))
    document = parse(path.read_text(encoding="utf-8"))
    assert [row["Strategy"] for row in table_of(document, "strategies-table")] == ["simple"]
    assert list((tmp_path / "out" / "group").glob("*desc-24P_mean.tsv"))
    assert "24P" not in words(document.all("header")[0])
    assert not by_id(document, "connectivity").all("*", **{"data-of": "24P"})
