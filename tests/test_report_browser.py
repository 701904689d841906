"""The report in a real browser: by mouse and by keyboard, light and dark, on paper, and under its strict policy."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import CHALLENGE, EVENT, GOAL, NEWS
from playwright.sync_api import expect
from test_report_page import HOSTILE

import pipeline
from pipeline.classify import Model
from pipeline.page import contrast
from pipeline.reasons import Reasoner
from pipeline.records import Document
from pipeline.report_page import report_page

pytestmark = pytest.mark.browser

#: The article that begins with what a spreadsheet would take for a formula.
FORMULA = "=HYPERLINK(1) wants a deal."
DOCUMENTS = [
    Document("north/a.txt", NEWS, "First talks", "2024-01-30", "north/a.txt"),
    Document("<b>south</b>/b.txt", HOSTILE, "<img src=x onerror=alert(1)>", "2024-03-01", "<b>south</b>/b.txt"),
    Document("south/c.txt", f'{FORMULA}\n\n- {GOAL}\n- {CHALLENGE}\n\nThe "two" sides,\nsaid he, met.\n', source="x"),
]
#: Own text of every visible element, with its colour and what lies behind it.
COLOURS = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const [r, g, b, a = 1] = parse(getComputedStyle(at).backgroundColor);
      if (a === 1) return [r, g, b];
      if (a !== 0) return null;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll("body *")]
    .filter((element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim())
      && element.checkVisibility({visibilityProperty: true})
      && !element.closest("script, style, svg, option, .unseen, .u b *"))
    .map((element) => [`${element.tagName}.${element.className}`, parse(getComputedStyle(element).color).slice(0, 3),
      behind(element)]);
}"""


@pytest.fixture(scope="module")
def model(models: Path) -> Model:
    return pipeline.load(models=models)


@pytest.fixture(scope="module")
def report(model: Model, small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    reasoner = Reasoner(model, small_corpus, precedents=2)
    made = report_page(model.classify_documents(DOCUMENTS), model, created="2026-01-31", reasoner=reasoner)
    path.write_text(made, encoding="utf-8", newline="")
    return path


@pytest.fixture
def opened(chromium: Any, report: Path) -> Iterator[Callable[..., Any]]:
    """Opens the report; afterwards nothing may have been complained of, fetched or run."""
    contexts, wrong = [], []

    def open_(fragment: str = "", **options: Any) -> Any:
        context = chromium.new_context(viewport={"width": 1280, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: wrong.append(request.url) if not request.url.startswith("file:") else None)
        page.goto(report.as_uri() + fragment)
        page.wait_for_selector("html[data-ready=yes]")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert [one for one in wrong if not one.startswith(("blob:", "data:,"))] == []


def shown(page: Any) -> list[str]:
    page.wait_for_selector("#articles:not([aria-busy])")  # a filter acts once the hand rests
    return page.evaluate("communique.units().filter((unit) => unit.on).map(communique.text)")


def hex_of(colour: list[float]) -> str:
    return "#" + "".join(f"{round(value):02x}" for value in colour)


def test_the_page_shows_the_units_as_they_are_in_the_text(opened: Callable[..., Any], model: Model) -> None:
    page = opened()
    expected = [one.unit.text for document in DOCUMENTS for one in model.classify(document.text)]
    assert shown(page) == expected
    assert page.evaluate("document.querySelectorAll('img, #articles script, #articles style').length") == 0
    assert page.locator("#found").inner_text() == f"{len(expected)} sentences of {len(expected)} in 3 articles of 3"


def test_the_policy_stops_what_is_added(chromium: Any, report: Path) -> None:
    context = chromium.new_context()
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(report.as_uri())
    page.wait_for_selector("html[data-ready=yes]")
    page.evaluate("""() => {
      const script = document.createElement('script');
      try { script.textContent = 'window.ran = true'; } catch (error) { console.log(error.message); }
      document.body.append(script);
      document.querySelector('h1').setAttribute('style', 'color: rgb(1, 2, 3)');
    }""")
    assert page.evaluate("window.ran") is None
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).color") != "rgb(1, 2, 3)"
    assert any("Content Security Policy" in one or "TrustedScript" in one for one in said)
    context.close()


def test_filters_by_label_confidence_source_doubt_and_text(opened: Callable[..., Any]) -> None:
    page = opened()
    data = page.evaluate(
        "communique.units().map((u) => [u.article.source, u.label, u.uncertain, communique.chance(u, u.label), "
        "communique.text(u)])"
    )
    deals = [row[4] for row in data if "deal" in row[4].lower()]
    page.fill("#search", "DEAL")
    page.wait_for_selector(f"#found:has-text('{len(deals)} sentences of')")
    assert shown(page) == deals
    assert page.evaluate("CSS.highlights.get('found').size") == sum(text.lower().count("deal") for text in deals)
    expect(page.locator("#a0")).to_be_hidden()
    page.click("#clear")
    page.uncheck("#filters [value=background]")
    assert shown(page) == [row[4] for row in data if row[1] != 4]
    page.click("#clear")
    page.select_option("#doubt", "only")
    assert shown(page) == [row[4] for row in data if row[2]]
    page.select_option("#doubt", "not")
    assert shown(page) == [row[4] for row in data if not row[2]]
    page.click("#clear")
    page.select_option("#source", "north")
    assert shown(page) == [EVENT, GOAL, CHALLENGE]
    page.click("#clear")
    page.evaluate(
        "(() => { const r = document.querySelector('#least'); r.value = 60; "
        "r.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )
    page.wait_for_selector("#least-out:has-text('0.60')")
    assert shown(page) == [row[4] for row in data if row[3] >= 0.6]


def test_others_fade_or_are_hidden(opened: Callable[..., Any]) -> None:
    page = opened()
    page.fill("#search", "visa agreement")
    page.wait_for_selector("#u0-0.off")
    expect(page.locator("#u0-0")).to_be_visible()
    page.check("#only")
    page.wait_for_selector("#u0-0", state="hidden")
    expect(page.locator("#u0-1")).to_be_visible()
    expect(page.locator("#a0 p:has(#u0-2)")).to_be_hidden()


def test_a_sentence_is_explained_by_mouse(opened: Callable[..., Any], model: Model) -> None:
    page = opened()
    page.hover("#u0-1")
    best = model.classify(NEWS)[1]
    assert page.locator("#tip").inner_text().startswith(f"{best.label} {best.confidence:.2f}")
    page.click("#u0-1")
    details = page.locator("#why")
    expect(details.get_by_text(GOAL, exact=True)).to_be_visible()
    assert "Most alike in the corpus" in details.inner_text()
    assert "news.jsonl:" in details.inner_text()
    assert "Together" in details.inner_text()
    details.get_by_role("button", name="goal").click()
    assert details.get_by_role("button", name="goal").get_attribute("aria-pressed") == "true"
    assert "the score of goal" in details.inner_text()
    details.get_by_role("button", name="Close").click()
    expect(details).to_be_hidden()


def test_everything_by_keyboard(opened: Callable[..., Any]) -> None:
    page = opened()
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("#articles$"))
    page.keyboard.press("Tab")
    expect(page.locator("#u0-0")).to_be_focused()
    expect(page.locator("#tip")).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#u0-1")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#why")).to_be_visible()
    expect(page.locator("#u0-1")).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#why")).to_contain_text(CHALLENGE)
    page.keyboard.press("Escape")
    expect(page.locator("#why")).to_be_hidden()
    expect(page.locator("#u0-2")).to_be_focused()
    page.keyboard.press("Tab")  # one stop an article
    expect(page.locator("#u1-0")).to_be_focused()
    page.keyboard.press("Shift+Tab")  # which remembers its place
    expect(page.locator("#u0-2")).to_be_focused()
    page.focus("#filters [value=background]")
    page.keyboard.press("Space")
    expect(page.locator("#filters [value=background]")).not_to_be_checked()
    page.wait_for_selector("#articles:not([aria-busy])")
    assert page.evaluate("communique.units().every((unit) => unit.label !== 4 || !unit.on)")


def test_focus_can_be_seen(opened: Callable[..., Any]) -> None:
    page = opened()
    for _ in range(12):
        page.keyboard.press("Tab")
        width = page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)")
        assert width >= 2, page.evaluate("document.activeElement.outerHTML.slice(0, 200)")


def test_a_link_leads_to_a_sentence(opened: Callable[..., Any]) -> None:
    page = opened("#u2-1")
    expect(page.locator("#u2-1")).to_be_focused()
    page.fill("#search", "nothing has this")
    page.wait_for_selector("#found:has-text('0 sentences')", timeout=5000)
    link = page.locator("#strongest ~ details a, section a[href^='#u']").first
    target = link.get_attribute("href")[1:]
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    link.click()
    page.wait_for_selector(f"#{target}:focus")


def test_the_download_is_the_shown_sentences_as_csv(opened: Callable[..., Any], model: Model, tmp_path: Path) -> None:
    page = opened()
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "communique.csv"
    download.value.save_as(tmp_path / "a.csv")
    data = (tmp_path / "a.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    expected = [(d, one) for d in DOCUMENTS for one in model.classify(d.text, title=d.title)]
    assert len(rows) == len(expected)
    for row, (document, one) in zip(rows, expected, strict=True):
        assert row["document"] == document.id
        guarded = one.unit.text.startswith(("=", "+", "-", "@"))
        assert row["text"] == ("'" if guarded else "") + one.unit.text
        assert int(row["start"]) == one.unit.start
        assert (row["kind"], row["label"], row["uncertain"]) == (one.unit.kind, one.label, str(one.uncertain))
        assert float(row["confidence"]) == pytest.approx(one.confidence)
        assert float(row["p_goal"]) == pytest.approx(one.probabilities["goal"])
    assert f"'{FORMULA}" in {row["text"] for row in rows}
    page.fill("#search", "visa agreement")
    page.wait_for_selector("#u0-0.off")
    with page.expect_download() as download:
        page.click("#download")
    download.value.save_as(tmp_path / "b.csv")
    assert (tmp_path / "b.csv").read_text(encoding="utf-8-sig").count(GOAL) == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_contrast(opened: Callable[..., Any], scheme: str) -> None:
    page = opened(color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    page.click("#u0-1")
    page.fill("#search", "visa agreement")
    page.wait_for_selector("#u0-0.off")
    found = page.evaluate(COLOURS)
    page.click("#clear")
    page.click("#u0-0")
    found += page.evaluate(COLOURS)
    assert len(found) > 100
    low = [
        (name, hex_of(ink), hex_of(ground))
        for name, ink, ground in found
        if ground is None or contrast(hex_of(ink), hex_of(ground)) < 4.5
    ]
    assert low == []


def test_colours_can_be_chosen(opened: Callable[..., Any]) -> None:
    page = opened(color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    page.select_option("#theme", "dark")
    assert page.evaluate(ground) == "rgb(20, 23, 28)"
    page.reload()
    page.wait_for_selector("html[data-ready=yes]")
    assert page.evaluate(ground) == "rgb(20, 23, 28)"


def test_paper_is_white_and_has_the_probabilities(opened: Callable[..., Any]) -> None:
    page = opened(color_scheme="dark")
    page.click("#u0-1")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    expect(page.locator("#filters")).to_be_hidden()
    expect(page.locator("#why")).to_be_hidden()
    assert page.locator("#u0-1 small").bounding_box()["width"] > 10
    assert page.pdf().startswith(b"%PDF")


@pytest.mark.parametrize("width", [320, 420, 800, 1280])
def test_nothing_is_wider_than_the_window(opened: Callable[..., Any], width: int) -> None:
    page = opened()
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_scripts_everything_can_still_be_read(opened: Callable[..., Any], chromium: Any, report: Path) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    expect(page.locator("#u0-1")).to_be_visible()
    expect(page.locator("#filters")).to_be_hidden()
    context.close()


@pytest.mark.slow
def test_five_hundred_articles_stay_usable(chromium: Any, model: Model, tmp_path: Path, small_corpus: Path) -> None:
    text = " ".join(f"{EVENT} {GOAL} {CHALLENGE}" for _ in range(10))
    documents = [Document(f"d{n}", text, f"Talks {n}", f"2024-{n % 12 + 1:02}-01", "x.jsonl") for n in range(500)]
    path = tmp_path / "big.html"
    reasoner = Reasoner(model, small_corpus, precedents=1)
    page_text = report_page(model.classify_documents(documents), model, created="x", reasoner=reasoner)
    path.write_text(page_text, encoding="utf-8")
    assert path.stat().st_size < 15_000_000
    context = chromium.new_context()
    page = context.new_page()
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-ready=yes]", timeout=20_000)
    assert page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd") < 15_000
    page.fill("#search", "talks")
    page.wait_for_selector("#found:has-text('0 sentences of 15,000')", timeout=5000)
    page.click("#clear")
    page.wait_for_selector("#found:has-text('15,000')", timeout=5000)
    context.close()
