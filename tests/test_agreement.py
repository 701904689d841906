"""Agreement: the coefficients of the literature, units matched, disagreements in context."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import CHALLENGE, EVENT, GOAL, ROOT, Done
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, confusion_matrix

from pipeline.agreement import agreement, coincidences, kappa_of, krippendorff_alpha
from pipeline.corpus import load_labels
from pipeline.records import Example, PipelineError

LABELS = load_labels(ROOT / "corpus").names
Run = Callable[..., Done]


def codes(*rows: str) -> np.ndarray:
    """Label numbers of annotators (one string each, a letter a unit, '.' for none), units by annotators."""
    letters = sorted({letter for row in rows for letter in row} - {"."})
    return np.array([[letters.index(one) if one != "." else -1 for one in unit] for unit in zip(*rows, strict=True)])


def alpha(*rows: str) -> float:
    table = codes(*rows)
    return krippendorff_alpha(coincidences(table, int(table.max()) + 1).sum(axis=0))


@pytest.mark.parametrize(
    ("rows", "value"),
    [
        # K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), the examples of its sections A, B and C
        (("0100000010", "1110010000"), 0.095),
        (("aabbdcccedda", "babbbcccеddd".replace("е", "e")), 0.692),
        (("123321412...", "1233224125.3", ".3332342251.", "12332441251."), 0.743),
    ],
)
def test_alpha_is_that_of_the_published_examples(rows: tuple[str, ...], value: float) -> None:
    assert alpha(*rows) == pytest.approx(value, abs=0.0005)


def test_alpha_is_one_where_all_agree_and_not_defined_where_nothing_could_differ() -> None:
    assert alpha("abcab", "abcab", "ab...") == pytest.approx(1.0)
    assert np.isnan(alpha("aaa", "aaa"))


def test_units_that_one_person_labelled_do_not_count() -> None:
    assert alpha("abab.", "abbba") == alpha("abab", "abbb")


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=40))
def test_kappa_is_that_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    one, other = zip(*pairs, strict=True)
    found = kappa_of(confusion_matrix(one, other, labels=range(4)))
    if np.isnan(found):
        assert len({*one, *other}) == 1
    else:
        assert found == pytest.approx(cohen_kappa_score(one, other))


# sets of units


def units(*labels: str, article: str = "a", texts: tuple[str, ...] = (), file: str = "f") -> list[Example]:
    names = texts or tuple(f"Unit {place} of {article}" for place in range(len(labels)))
    return [
        Example(article, "", "wire", None, "sentence", text, label, file=file, line=line)
        for line, (text, label) in enumerate(zip(names, labels, strict=True), start=1)
    ]


def test_units_match_by_article_text_and_occurrence() -> None:
    texts = ("Challenges:", EVENT, "Challenges:", GOAL)
    one = units("challenge", "background", "background", "goal", texts=texts, file="one")
    other = units("challenge", "goal", "challenge", texts=("Challenges:", f"{GOAL}  ", "Challenges:"), file="two")
    found = agreement({"one": one, "two": other}, LABELS)
    assert found.units == 3
    assert [(one.text, dict(one.labels)) for one in found.disagreements] == [
        ("Challenges:", {"one": "background", "two": "challenge"})
    ]
    assert found.disagreements[0].before == EVENT
    assert found.disagreements[0].places == {"one": "one:3", "two": "two:3"}
    assert found.unmatched == {"one": ("one:2",), "two": ()}


def test_the_same_text_in_another_article_is_another_unit() -> None:
    one, other = units("goal", article="a", texts=(GOAL,)), units("goal", article="b", texts=(GOAL,))
    with pytest.raises(PipelineError, match=r"no unit was labelled by two of x, y \(units match by their columns"):
        agreement({"x": one, "y": other}, LABELS)


def noisy(seed: int, share: float, articles: int = 30) -> tuple[list[Example], list[Example]]:
    rng = np.random.default_rng(seed)
    one, other = [], []
    for article in range(articles):
        labels = [str(label) for label in rng.choice(LABELS, 10)]
        said = [str(rng.choice(LABELS)) if rng.random() < share else label for label in labels]
        one += units(*labels, article=f"a{article}")
        other += units(*said, article=f"a{article}")
    return one, other


def test_intervals_hold_the_truth_and_narrow_with_articles() -> None:
    # every second label drawn by chance: kappa and alpha are about one half
    widths = []
    for articles in (8, 80):
        one, other = noisy(1, 0.5, articles)
        found = agreement({"x": one, "y": other}, LABELS)
        for coefficient in (found.kappa["x / y"], found.alpha):
            assert coefficient.value is not None
            assert coefficient.interval is not None
            low, high = coefficient.interval
            assert low < coefficient.value < high
            assert low < 0.5 < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_the_label_that_is_confused_has_the_lower_alpha() -> None:
    labels = ["challenge", "implication", "goal", "background"] * 5
    swapped = [{"challenge": "implication", "implication": "challenge"}.get(label, label) for label in labels]
    one = [unit for n in range(4) for unit in units(*labels, article=f"a{n}")]
    other = [unit for n in range(4) for unit in units(*(swapped if n else labels), article=f"a{n}")]
    found = agreement({"x": one, "y": other}, LABELS)
    values = {label: coefficient.value for label, coefficient in found.alpha_by_label.items()}
    assert values["goal"] == values["background"] == pytest.approx(1.0)
    assert values["challenge"] is not None
    assert values["challenge"] < 0.1
    assert values["opportunity"] is None, "a label that nobody gave"
    assert found.given["challenge"] == (20, 20)


def test_three_people_have_three_kappas_and_missing_labels_count_for_alpha_only() -> None:
    labels = ("goal", "challenge", "background", "goal")
    sets = {"x": units(*labels), "y": units(*labels), "z": units(*labels[:2])}
    found = agreement(sets, LABELS)
    assert {pair: one.units for pair, one in found.kappa.items()} == {"x / y": 4, "x / z": 2, "y / z": 2}
    assert (found.alpha.value, found.alpha.units, found.alpha.interval) == (1.0, 4, None)


def test_one_person_does_not_agree() -> None:
    with pytest.raises(PipelineError, match="agreement needs the labels of two people or more"):
        agreement({"x": units("goal")}, LABELS)


# the command


def put(path: Path, *labels: str) -> Path:
    plain = {"title": "News", "genre": "wire", "kind": "sentence"}
    rows = [
        {"article": f"a{place % 3}", "section": "Hurdles", **plain, "text": f"{text} ({place})", "label": label}
        for place, (text, label) in enumerate(zip([EVENT, GOAL, CHALLENGE] * 4, labels, strict=False))
    ]
    rows.sort(key=lambda row: str(row["article"]))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_command_prints_coefficients_and_disagreements_in_context(tmp_path: Path, run: Run) -> None:
    labels = ["background", "goal", "challenge"] * 3
    one = put(tmp_path / "anna.jsonl", *labels)
    other = put(tmp_path / "ben.jsonl", *labels[:3], "goal", *labels[4:8])
    done = run("agreement", one, other, "--corpus", ROOT / "corpus")
    assert done.code == 0
    assert "8 units in 3 articles were labelled by two or more" in done.out
    assert f"only A has 1 more, left out: {one}:9" in done.out
    assert done.out.endswith(
        f"1 units were labelled differently: background / goal 1\n\n"
        f"{one}:2: A says background\n{other}:2: B says goal\n"
        f"    under: Hurdles\n    before: {EVENT} (0)\n    {EVENT} (3)\n"
    )
    whole = json.loads(run("agreement", one, other, "--json", "--corpus", ROOT / "corpus").out)
    assert whole["kappa"][f"{one} / {other}"]["value"] == pytest.approx(
        cohen_kappa_score(labels[:8], [*labels[:3], "goal", *labels[4:8]])
    )
    assert len(run("agreement", one, other, "--disagreements", 0).out.split("says")) == 1


def test_the_same_file_twice_and_one_file_are_refused(tmp_path: Path, run: Run) -> None:
    one = put(tmp_path / "anna.jsonl", "goal")
    done = run("agreement", one, one)
    assert done.code == 1
    assert "agreement with oneself says nothing" in done.err
    assert run("agreement", one).code == 2


def test_a_file_with_errors_is_named(tmp_path: Path, run: Run) -> None:
    one, bad = put(tmp_path / "anna.jsonl", "goal"), put(tmp_path / "ben.jsonl", "gaol")
    done = run("agreement", one, bad)
    assert done.code == 1
    assert f"{bad}:1: unknown label 'gaol'" in done.err
