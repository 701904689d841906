"""The report: what it counts, what it holds, and that nothing in it comes from elsewhere or can run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import lxml.html
import pytest
from conftest import CHALLENGE, EVENT, GOAL, NEWS, Done

import pipeline
from pipeline.classify import Model, Result
from pipeline.page import looks
from pipeline.page_articles import article, source_of, strongest
from pipeline.reasons import Reasoner
from pipeline.records import Document, Failure, Prediction, Unit
from pipeline.report_page import by_time, overview, parsed_date, report_page

HOSTILE = (
    "<script>alert(1)</script> wants \"a\" 'deal' & more.\n\n"
    "</script><img src=x onerror=alert(1)> stalled in a dispute.\n\n"
    "Left \u202eto right \u2066 remains open. {{ 7 * 7 }} {% raw %} wants talks.\n\n"
    f"A word of {'x' * 5000} wants nothing.\n\n<!-- <style> ]]> -->\n"
)


@pytest.fixture(scope="module")
def model(models: Path) -> Model:
    return pipeline.load(models=models)


@pytest.fixture(scope="module")
def reasoner(model: Model, small_corpus: Path) -> Reasoner:
    return Reasoner(model, small_corpus, precedents=2)


def page_of(model: Model, *documents: Document | Failure, **options: Any) -> Any:
    html = report_page(model.classify_documents(documents), model, created="2026-01-31", **options)
    return lxml.html.document_fromstring(html)


def data_of(page: Any, name: str = "data") -> Any:
    return json.loads(page.get_element_by_id(name).text)


def units_of(page: Any) -> list[tuple[str, str]]:
    """Letter (with its mark) and text of each unit, as they stand in the page."""
    return [(unit[0].text, unit[0].tail) for unit in page.find_class("u")]


def result(*labels: str, name: str = "a.txt", when: str | None = None) -> Result:
    units = [
        Unit(name, n, "sentence", None, n * 30, n * 30 + 25, f"One two three four {n:06}") for n in range(len(labels))
    ]
    made = [
        Prediction(unit, label, 0.5 + n / 100, n == 0, {"goal": 0.5 + n / 100, "background": 0.5 - n / 100})
        for n, (unit, label) in enumerate(zip(units, labels, strict=True))
    ]
    text = "     ".join(unit.text for unit in units)
    return Result(Document(name, text, None, when, name), tuple(made))


# What it counts

LOOKS = looks(["goal", "background"], {})


def test_the_overview_counts_units_by_label_source_and_time() -> None:
    results = [
        result("goal", "goal", "background", name="north/a.txt", when="2024-01-30"),
        result("background", name="north/b.txt", when="2024-03-02T10:00:00Z"),
        result("goal", name="south/c.txt", when="spring"),
    ]
    pairs = [(article(n, one, LOOKS, source_of(one)), one) for n, one in enumerate(results)]
    found = overview(pairs, LOOKS)
    assert (found.units, found.uncertain, found.counts, found.doubts) == (5, 3, (3, 2), (2, 1))
    assert [(row.name, row.counts) for row in found.sources] == [("north", (2, 2)), ("south", (1, 0))]
    assert [(row.name, row.counts, row.number) for row in found.documents] == [
        ("north/a.txt", (2, 1), 0),
        ("north/b.txt", (0, 1), 1),
        ("south/c.txt", (1, 0), 2),
    ]
    assert found.step == "day"
    assert len(found.times) == 33
    assert found.times[0].name, found.times[0].counts == ("2024-01-30", (2, 1))
    assert sum(row.total for row in found.times) == 4
    assert found.undated == 1


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2024-02-29", date(2024, 2, 29)),
        ("2024-02-29T23:00:00+02:00", date(2024, 2, 29)),
        ("2024-02", date(2024, 2, 1)),
        ("2024", date(2024, 1, 1)),
        ("29 February 2024", None),
        ("2023-02-29", None),
        ("", None),
    ],
)
def test_dates(text: str, day: date | None) -> None:
    assert parsed_date(text) == day


@pytest.mark.parametrize(
    ("days", "step", "names"),
    [
        ([(2024, 1, 30), (2024, 2, 1)], "day", ["2024-01-30", "2024-01-31", "2024-02-01"]),
        ([(2023, 11, 30), (2024, 2, 1)], "month", ["2023-11", "2023-12", "2024-01", "2024-02"]),
        ([(2009, 1, 1), (2014, 1, 1)], "year", ["2009", "2010", "2011", "2012", "2013", "2014"]),
        ([(2024, 1, 1), (2024, 1, 1)], "", []),
        ([], "", []),
    ],
)
def test_time_has_no_gaps(days: list[tuple[int, int, int]], step: str, names: list[str]) -> None:
    rows, found = by_time([(date(*day), (1, 2)) for day in days])
    assert (found, [row.name for row in rows]) == (step, names)
    assert sum(row.total for row in rows) == (3 * len(days) if rows else 0)


@pytest.mark.parametrize(
    ("document", "source"),
    [
        (Document("news/a.txt", "", source="news/a.txt"), "news"),
        (Document("a.txt", "", source="a.txt"), "(this folder)"),
        (Document("x1", "", source="agency.jsonl"), "agency.jsonl"),
        (Document("-", "", source="-"), "standard input"),
        (Document("-:3", "", source="-"), "standard input"),
    ],
)
def test_what_an_article_is_filed_under(document: Document, source: str) -> None:
    assert source_of(Result(document, ())) == source


def test_the_strongest_sentences_are_the_most_confident_each_once() -> None:
    results = [result("goal", "goal", "background"), result("background", "goal", name="b.txt")]
    pairs = [(article(n, one, LOOKS), one) for n, one in enumerate(results)]
    goals, background = strongest(pairs, LOOKS, 2)
    assert [(one.probability, one.article, one.unit) for one in goals] == [(0.51, 0, 1), (0.5, 0, 0)]
    assert [(one.probability, one.article, one.unit) for one in background] == [(0.52, 0, 2), (0.5, 1, 0)]


# What it holds


def test_every_unit_is_there_with_its_letter_and_its_data(model: Model) -> None:
    text = f"# Talks\n\n{EVENT} {GOAL}\n\n- {CHALLENGE}\n- {GOAL}\n\n{EVENT}\n"
    page = page_of(model, Document("a.md", text, source="a.md"))
    predictions = model.classify(text)
    letters = {"challenge": "C", "opportunity": "O", "goal": "G", "implication": "I", "background": "B"}
    marked = [(letters[one.label] + "?" * one.uncertain, one.unit.text) for one in predictions]
    assert units_of(page) == marked
    assert [element.tag for element in page.get_element_by_id("a0") if element.tag in ("h4", "p", "ul")][1:] == [
        *("h4", "p", "ul", "p")
    ]
    data = data_of(page)
    assert data["labels"] == list(model.info.labels)
    for row, one in zip(data["articles"][0]["units"], predictions, strict=True):
        assert row[:2] == [one.unit.start, one.unit.end]
        assert data["kinds"][row[2]] == one.unit.kind
        assert data["articles"][0]["sections"][row[3]] == one.unit.section
        assert data["labels"][row[4]] == one.label
        assert [chance / 1e6 for chance in row[6:]] == pytest.approx(list(one.probabilities.values()))


def test_the_details_sum_to_the_score(model: Model, reasoner: Reasoner) -> None:
    page = page_of(model, Document("a.txt", NEWS), reasoner=reasoner)
    why = data_of(page, "reasons")
    for (terms, near), reasons in zip(why["why"][0], reasoner.explain(NEWS), strict=True):
        assert len(terms) <= 8
        sums = [sum(values) / 1000 for values in list(zip(*terms, strict=True))[1:]]
        assert sums == pytest.approx(list(reasons.explanation.scores), abs=0.005)
        assert len(near) == 2
        assert why["precedents"][near[0][0]][2] == reasons.precedents[0].where


def test_the_same_report_twice(model: Model, reasoner: Reasoner) -> None:
    made = [
        report_page(model.classify_documents([Document("a", NEWS)]), model, created="now", reasoner=reasoner)
        for _ in range(2)
    ]
    assert made[0] == made[1]


def test_failures_warnings_and_titles_are_named(model: Model) -> None:
    page = page_of(
        model,
        Failure("gone<b>.txt", "no such file"),
        Document("a.txt", EVENT, "A <b>title</b>", "2024-05-01", "a.txt", ("half of it was lost",)),
        Document("empty.txt", "", source="empty.txt"),
        title="May & June",
        definitions={"goal": "What an actor <wants>."},
    )
    text = page.text_content()
    for said in ("gone<b>.txt: no such file", "A <b>title</b>", "half of it was lost", "2024-05-01", "<wants>"):
        assert said in text
    assert page.findtext(".//title") == "May & June"
    assert len(page.find_class("article")) == 2


def test_a_report_of_nothing(model: Model) -> None:
    page = page_of(model)
    assert "0 articles, 0 sentences" in page.text_content()
    assert data_of(page)["articles"] == []


# Nothing runs, nothing is fetched


def test_text_stays_text(model: Model, reasoner: Reasoner) -> None:
    document = Document("<i>id</i>", HOSTILE, '"><script>alert(2)</script>', "<u>", "<s>")
    page = page_of(model, document, reasoner=reasoner, title="</title><script>alert(3)</script>")
    assert [text for _, text in units_of(page)] == [one.unit.text for one in model.classify(HOSTILE)]
    scripts = page.xpath("//script")
    assert [script.get("type") for script in scripts] == ["application/json", "application/json", None]
    assert page.xpath("//img | //iframe | //object | //embed | //base | //form[@action]") == []
    attributes = {name for element in page.iter() if isinstance(element.tag, str) for name in element.attrib}
    assert not any(name.startswith("on") for name in attributes)
    assert "style" not in attributes
    assert data_of(page)["articles"][0]["id"] == "<i>id</i>"


def test_nothing_comes_from_elsewhere(model: Model) -> None:
    page = page_of(model, Document("a.txt", NEWS))
    links = {link for _, _, link, _ in page.iterlinks()}
    assert all(link.startswith("#") or link == "data:," for link in links), links
    style = page.findtext(".//style")
    assert not re.search(r"url\(|@import|@font-face", style)
    (policy,) = page.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "http" not in policy


def test_structure_for_screen_readers(model: Model) -> None:
    page = page_of(model, Document("a.txt", NEWS, None, "2024-01-01"), Document("b.txt", GOAL, None, "2024-01-05"))
    assert page.get("lang") == "en"
    assert len(page.xpath("//main")) == len(page.xpath("//h1")) == len(page.xpath("//header")) == 1
    ids = page.xpath("//@id")
    assert len(ids) == len(set(ids))
    for name in page.xpath("//@aria-labelledby | //@for"):
        assert name in ids
    assert all(control.getparent().tag == "label" for control in page.xpath("//select | //input"))
    assert all(svg.get("aria-hidden") == "true" for svg in page.xpath("//svg"))
    assert all(cell.get("scope") for cell in page.xpath("//th"))
    target = page.xpath("//a[contains(@class, 'skip')]/@href")[0]
    assert target[1:] in ids


# The command


def test_the_command_writes_a_page_and_names_what_it_could_not_read(
    run: Callable[..., Done], models: Path, small_corpus: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text(NEWS)
    target = tmp_path / "report.html"
    options = ["--models", models, "--corpus", small_corpus, "--output", target]
    done = run("report", tmp_path / "a.txt", tmp_path / "gone.txt", *options)
    assert done.code == 1
    assert done.out == ""
    assert "gone.txt: no such file or folder" in done.err
    page = lxml.html.parse(str(target)).getroot()
    assert [text for _, text in units_of(page)] == [EVENT, GOAL, CHALLENGE]
    assert "gone.txt: no such file" in page.text_content()
    assert data_of(page, "reasons")["why"][0]
    again = run("report", tmp_path / "a.txt", *options)
    assert again.code == 1
    assert "is there already (give --force to replace it)" in again.err


def test_the_command_writes_to_a_pipe_and_can_leave_explanations_out(
    run: Callable[..., Done], models: Path, small_corpus: Path
) -> None:
    done = run("report", "-", "--no-explanations", "--models", models, "--corpus", small_corpus, stdin=GOAL)
    assert done.code == 0
    page = lxml.html.document_fromstring(done.out)
    assert [text for _, text in units_of(page)] == [GOAL]
    assert data_of(page, "reasons") == {"terms": [], "about": {}, "precedents": [], "why": [[]]}
