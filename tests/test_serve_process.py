"""The real server, as a process: started, fuzzed, stopped, given another model, and used in a real browser."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from conftest import GOAL, NEWS, Done
from playwright.sync_api import expect
from serving import Server

from pipeline import train
from pipeline.promotion import promote
from pipeline.shelf import current_id

TOKEN = "correct-horse-battery"


@pytest.fixture(scope="module")
def server(models: Path, small_corpus: Path) -> Iterator[Server]:
    with Server("serve", "--models", models, "--corpus", small_corpus, "--max-bytes", 50_000) as made:
        yield made


def test_it_answers_and_says_where_it_is(server: Server, models: Path) -> None:
    assert server.post("/v1/classify", {"text": NEWS}).json()["model"] == current_id(models)
    assert server.url.startswith("http://127.0.0.1:")
    assert server.get("/v1/model", headers={"Host": "evil.example"}).status_code == 421


@pytest.mark.parametrize(
    ("arguments", "env", "said"),
    [
        (["--host", "0.0.0.0"], {}, "a token is needed (set COMMUNIQUE_TOKEN"),
        (["--host", "0.0.0.0"], {"COMMUNIQUE_TOKEN": "short"}, "the token has 5 characters"),
        (["--host", "203.0.113.7", "--token", TOKEN], {}, "203.0.113.7"),
    ],
)
def test_it_does_not_start_where_it_should_not(
    communique: Callable[..., Done], models: Path, arguments: list[str], env: dict[str, str], said: str
) -> None:
    done = communique("serve", "--models", models, "--port", 0, *arguments, env=env)
    assert done.code == 1
    assert said in done.err
    assert "Traceback" not in done.err


@pytest.fixture(scope="module")
def guarded(models: Path, small_corpus: Path) -> Iterator[Server]:
    arguments = ["serve", "--models", models, "--corpus", small_corpus, "--host", "0.0.0.0"]
    with Server(*arguments, env={"COMMUNIQUE_TOKEN": TOKEN}) as made:
        yield made


@pytest.mark.slow
def test_a_token_from_the_environment_guards_an_open_address(guarded: Server) -> None:
    assert guarded.post("/v1/classify", {"text": GOAL}).status_code == 401
    right = {"Authorization": f"Bearer {TOKEN}"}
    assert guarded.post("/v1/classify", {"text": GOAL}, headers=right).status_code == 200
    assert TOKEN not in "".join(guarded.said)


@pytest.mark.slow
def test_what_has_begun_is_answered_before_it_stops(models: Path, small_corpus: Path) -> None:
    with Server("serve", "--models", models, "--corpus", small_corpus) as stopping:
        body = json.dumps({"text": NEWS}).encode()
        with socket.create_connection(("127.0.0.1", urlsplit(stopping.url).port or 0)) as wire:
            head = "POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            head += f"Content-Length: {len(body)}\r\n\r\n"
            wire.sendall(head.encode() + body[:20])
            time.sleep(0.5)
            stopping.process.terminate()
            time.sleep(0.5)
            assert stopping.process.poll() is None, "it waits for the request that has begun"
            wire.sendall(body[20:])
            answer = b""
            while part := wire.recv(65536):
                answer += part
        assert answer.startswith(b"HTTP/1.1 200")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["documents"][0]["units"]
        assert stopping.stop() == 0
        assert stopping.said[-1] == "communique: stopped"


@pytest.mark.slow
def test_a_model_is_promoted_while_it_serves_and_no_request_fails(
    trained: train.Training, small_corpus: Path, tmp_path: Path, quick: None
) -> None:
    shelf = tmp_path / "models"
    shutil.copytree(trained.folder.parent, shelf)
    other = train.train(small_corpus, shelf, seed=1, cross_validation=False).info.id
    promote(trained.info.id, shelf)
    answers: list[tuple[int, str]] = []
    enough = threading.Event()
    with Server("serve", "--models", shelf, "--corpus", small_corpus) as serving:

        def ask() -> None:
            with httpx.Client(base_url=serving.url, timeout=60) as client:
                while not enough.is_set():
                    answer = client.post("/v1/classify", json={"text": NEWS})
                    answers.append((answer.status_code, answer.json().get("model", answer.text)))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for chosen in (other, trained.info.id, other):
            promote(chosen, shelf)
            until = time.monotonic() + 60
            while serving.get("/healthz").json()["model"] != chosen:
                assert time.monotonic() < until, serving.said
                time.sleep(0.1)
        enough.set()
        for thread in threads:
            thread.join(60)
        counted = serving.get("/metrics").text
    assert {code for code, _ in answers} == {200}
    assert {model for _, model in answers} == {trained.info.id, other}
    assert 'communique_model_reloads{result="done"} 3.0' in counted
    assert 'communique_model_reloads{result="failed"} 0.0' in counted


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_nothing_that_a_fuzzer_sends_breaks_it(server: Server, mode: str) -> None:
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis.generation import GenerationMode
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) == 5
    asked = 0
    for operation in operations:
        if mode == "negative" and operation.method.upper() == "GET":
            continue  # there is nothing in it to get wrong

        @given(case=operation.as_strategy(generation_mode=GenerationMode(mode)))
        @settings(
            max_examples=50 if operation.method.upper() == "POST" else 3,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        def check(case: schemathesis.Case) -> None:
            nonlocal asked
            asked += 1
            # a schema can't say that a file must hold text, or that a text must have the unit that is asked for
            case.call_and_validate(timeout=60, excluded_checks=[positive_data_acceptance])

        check()
    assert asked >= 50
    assert server.get("/healthz").status_code == 200


# in a browser


@pytest.fixture
def tab(chromium: Any, server: Server) -> Iterator:
    """A page of the server that fails the test where its script fails or its policy is broken."""
    opened = chromium.new_page()
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    outside: list[str] = []
    opened.on(
        "request", lambda asked: None if asked.url.startswith((server.url, "data:")) else outside.append(asked.url)
    )
    yield opened
    opened.close()
    assert wrong == []
    assert outside == [], "nothing is asked of anybody else"


#: A sentence of the page without what its script adds for the keyboard.
AS_MADE = """(made) => {
  const copy = made.cloneNode(true);
  for (const name of ["tabindex", "role", "aria-expanded"]) copy.removeAttribute(name);
  return copy.outerHTML;
}"""


def as_in_a_report(models: Path) -> str:
    """The first sentence of the news as the template of the report renders it."""
    from pipeline import load
    from pipeline.classify import Result
    from pipeline.page import environment
    from pipeline.page_articles import article
    from pipeline.records import Document
    from pipeline.serve_pages import model_looks

    model = load(models=models)
    document = Document("text", NEWS)
    (result,) = model.classify_documents([document])
    assert isinstance(result, Result)
    shown = article(0, result, model_looks(model))
    template = environment().get_template("_article.html.j2").make_module({})
    return str(template.sentence(shown, shown.paragraphs[0].sentences[0])).strip()


@pytest.mark.browser
def test_an_article_is_pasted_and_read_by_keyboard(tab, server: Server, models: Path) -> None:
    from pipeline import load

    tab.goto(server.url)
    tab.keyboard.press("Tab")  # past the link to the result
    tab.keyboard.press("Tab")
    tab.keyboard.insert_text(NEWS)
    tab.keyboard.press("Control+Enter")
    tab.wait_for_selector(".u")
    predictions = load(models=models).classify(NEWS)
    assert tab.locator("#u0-0").evaluate(AS_MADE) == as_in_a_report(models), "one look for page and report"
    marks = tab.locator(".u b").all_text_contents()
    assert [mark.split()[1].rstrip(":,") for mark in marks] == [prediction.label for prediction in predictions]
    assert [mark.split()[0].endswith("?") for mark in marks] == [prediction.uncertain for prediction in predictions]
    assert tab.locator(".article p:not(.meta)").count() == 2, "paragraphs stay paragraphs"
    tab.wait_for_selector("html[data-explained]")
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("Enter")
    assert tab.locator("#why .quote").text_content() == GOAL
    assert tab.locator("#why").get_by_text("What moved it").count() == 1
    assert tab.locator("#why ol li").count() > 0, "precedents of the corpus"
    tab.keyboard.press("Escape")
    expect(tab.locator("#why")).to_be_hidden()


@pytest.mark.browser
def test_a_file_is_chosen_and_one_is_dropped(tab, server: Server, tmp_path: Path) -> None:
    page = tmp_path / "talks.html"
    page.write_text(f"<html><title>Talks</title><article><p>{NEWS}</p></article></html>")
    tab.goto(server.url)
    tab.set_input_files("#file", page)
    tab.wait_for_selector(".article h3")
    assert tab.locator(".article h3").text_content() == "Talks"
    transfer = tab.evaluate_handle(
        "(text) => { const moved = new DataTransfer(); moved.items.add(new File([text], 'two.jsonl')); return moved; }",
        json.dumps({"text": GOAL}) + "\n" + json.dumps({"text": NEWS}),
    )
    tab.dispatch_event("body", "drop", {"dataTransfer": transfer})
    tab.wait_for_selector(".article >> nth=1")
    assert "4 sentences, headings and list items in 2 articles" in (tab.locator("#said").text_content() or "")


@pytest.mark.browser
def test_an_article_is_text_and_nothing_else(tab, server: Server) -> None:
    nasty = (
        "<script>document.title = 'owned'</script> The minister <img src=x onerror=\"document.title='owned'\"> wants. "
        "\u202eThe talks</script> have \"stalled\" & 'failed'."
    )
    tab.goto(server.url)
    tab.fill("#text", nasty)
    tab.click("#go")
    tab.wait_for_selector(".u")
    tab.wait_for_selector("html[data-explained]")
    tab.locator(".u").first.click()
    assert tab.title() == "communique"
    assert tab.locator("#articles script, #articles img, #why img").count() == 0
    shown = " ".join(tab.evaluate("() => [...document.querySelectorAll('.u')].map((u) => u.lastChild.data)"))
    assert shown.split() == nasty.split()


@pytest.mark.browser
def test_what_goes_wrong_is_said(tab, server: Server) -> None:
    tab.goto(server.url)
    tab.click("#go")
    assert "nothing to classify yet" in (tab.locator("#wrong").text_content() or "")
    tab.fill("#text", "word " * 20_000)
    tab.click("#go")
    assert "the server takes 50,000" in (tab.locator("#wrong").text_content() or "")
    tab.fill("#text", GOAL)
    tab.click("#go")
    tab.wait_for_selector(".u")
    expect(tab.locator("#wrong")).to_be_hidden()


@pytest.mark.browser
@pytest.mark.slow
def test_the_page_asks_for_the_token_and_keeps_it(chromium: Any, guarded: Server) -> None:
    tab = chromium.new_page()
    tab.goto(guarded.url)
    tab.fill("#text", GOAL)
    tab.click("#go")
    tab.wait_for_selector("#token:focus")
    tab.keyboard.type(TOKEN)
    tab.keyboard.press("Enter")
    tab.wait_for_selector(".u")
    tab.close()

    tab = chromium.new_page()
    tab.goto(f"{guarded.url}/#token={TOKEN}")
    tab.fill("#text", GOAL)
    tab.click("#go")
    tab.wait_for_selector(".u")
    assert TOKEN not in tab.url
    tab.close()
