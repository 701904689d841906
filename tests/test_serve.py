"""The server's operations, its guard and its errors, in this process; `test_serve_process` runs the real one."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from conftest import GOAL, NEWS
from fastapi.testclient import TestClient

from pipeline import load, sentences
from pipeline.cli_serve import address
from pipeline.promotion import promote
from pipeline.records import PipelineError
from pipeline.serve import allowed_hosts, create_app, open_socket
from pipeline.serve_guard import Limits, checked_token, is_loopback
from pipeline.serve_models import ModelKeeper

TOKEN = "correct-horse-battery"


def in_a_thread(work: Coroutine[Any, Any, Any]) -> Any:
    """What the work gives, in a loop of its own: a browser of other tests may hold one in this thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


@pytest.fixture(scope="module")
def keeper(models: Path, small_corpus: Path) -> ModelKeeper:
    return ModelKeeper(models, corpus=small_corpus)


@pytest.fixture(scope="module")
def client(keeper: ModelKeeper) -> Iterator[TestClient]:
    app = create_app(keeper, limits=Limits(max_bytes=20_000))
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as made:
        yield made


def error_of(response) -> dict:
    content = response.json()
    assert set(content) == {"error"}
    assert set(content["error"]) == {"code", "message", "where", "remedy"}
    return content["error"]


def test_a_text_is_classified_as_the_command_does_it(client: TestClient, models: Path) -> None:
    answer = client.post("/v1/classify", json={"text": NEWS, "id": "talks"})
    assert answer.status_code == 200
    (document,) = answer.json()["documents"]
    assert [unit["label"] for unit in document["units"]] == [p.label for p in load(models=models).classify(NEWS)]
    assert all(NEWS[unit["start"] : unit["end"]] == unit["text"] for unit in document["units"])
    assert {unit["document"] for unit in document["units"]} == {"talks"}
    assert answer.json()["failures"] == []


@pytest.mark.parametrize(
    ("name", "content", "documents"),
    [
        ("a.txt", NEWS.encode(), 1),
        ("a.md", f"# Talks\n\n{NEWS}".encode(), 1),
        ("a.html", f"<html><body><article><h1>Talks</h1><p>{NEWS}</p></article></body></html>".encode(), 1),
        ("a.jsonl", (json.dumps({"text": NEWS, "id": "1"}) + "\n" + json.dumps({"text": GOAL})).encode(), 2),
        ("a.csv", f'id,text\n1,"{GOAL}"\n'.encode(), 1),
        ("utf16.txt", NEWS.encode("utf-16"), 1),
    ],
)
def test_a_file_of_every_format_is_read(client: TestClient, name: str, content: bytes, documents: int) -> None:
    answer = client.post("/v1/classify", files={"file": (name, content)})
    assert answer.status_code == 200
    found = answer.json()["documents"]
    assert len(found) == documents
    for document in found:
        assert document["units"]
        assert all(document["text"][unit["start"] : unit["end"]] == unit["text"] for unit in document["units"])


def test_a_file_name_is_only_a_name(client: TestClient, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text(GOAL)
    for name in (str(tmp_path / "secret.txt"), "..\\..\\secret.txt"):
        answer = client.post("/v1/classify", files={"file": (name, b"Only this was sent here today.")})
        (document,) = answer.json()["documents"]
        assert document["id"] == "secret.txt"
        assert document["text"] == "Only this was sent here today."


def test_rows_that_cannot_be_read_are_named_and_the_others_classified(client: TestClient) -> None:
    rows = f'{json.dumps({"text": GOAL})}\n{{"text": 7}}\n'.encode()
    answer = client.post("/v1/classify", files={"file": ("rows.jsonl", rows)}).json()
    assert len(answer["documents"]) == 1
    (failure,) = answer["failures"]
    assert (failure["source"], failure["line"]) == ("rows.jsonl", 2)


def test_another_column_holds_the_text(client: TestClient) -> None:
    data = {"text_field": "body"}
    answer = client.post("/v1/classify", files={"file": ("a.csv", f'body\n"{GOAL}"\n'.encode())}, data=data)
    assert answer.json()["documents"][0]["units"][0]["text"] == GOAL


def test_an_explanation_sums_to_the_scores(client: TestClient) -> None:
    answer = client.post("/v1/explain", json={"text": NEWS, "most": 3})
    assert answer.status_code == 200
    units = answer.json()["units"]
    assert len(units) == 3
    for unit in units:
        for label, score in unit["scores"].items():
            assert sum(term["scores"][label] for term in unit["terms"]) == pytest.approx(score, abs=1e-6)
    only = client.post("/v1/explain", json={"text": NEWS, "index": 1}).json()["units"]
    assert [unit["text"] for unit in only] == [GOAL]
    assert only[0]["precedents"], "the units of the corpus that are most alike"


def test_the_model_and_the_health_are_told(client: TestClient, keeper: ModelKeeper) -> None:
    info = keeper.current.model.info
    model = client.get("/v1/model").json()
    assert (model["id"], model["labels"], model["problem"]) == (info.id, list(info.labels), None)
    assert client.get("/healthz").json() == {"status": "ok", "model": info.id}


def test_prometheus_finds_its_counters(client: TestClient, keeper: ModelKeeper) -> None:
    client.post("/v1/classify", json={"text": GOAL})
    client.get("/no/such/path")
    text = client.get("/metrics").text
    assert 'communique_requests_total{method="POST",path="/v1/classify",status="200"}' in text
    assert "/no/such/path" not in text, "whoever asks must not be able to make up series"
    assert f'communique_model_info{{model="{keeper.current.model.info.id}"}} 1.0' in text
    assert "process_resident_memory_bytes" in text


@pytest.mark.parametrize(
    ("body", "status", "code", "said"),
    [
        (b"{", 422, "invalid", "JSON"),
        (b'{"text": 7}', 422, "invalid", "text"),
        (b"{}", 422, "invalid", "text"),
        (b'{"text": "a", "labels": []}', 422, "invalid", "labels"),
        (b'{"text": " \\n "}', 422, "unreadable", "whitespace"),
        (b'{"text": "\\ud800"}', 422, "invalid", "JSON"),
        (b"\xff\xfe", 422, "invalid", "JSON"),
        (b'{"text": "' + b"a " * 15_000 + b'"}', 413, "too_large", "20,000"),
    ],
)
def test_a_bad_body_is_told_in_the_one_shape(
    client: TestClient, body: bytes, status: int, code: str, said: str
) -> None:
    answer = client.post("/v1/classify", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    error = error_of(answer)
    assert error["code"] == code
    assert said in error["message"]


def test_an_unannounced_body_is_counted_as_it_comes(client: TestClient) -> None:
    pieces = (b"x" * 1000 for _ in range(1000))
    answer = client.post("/v1/classify", content=pieces, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert error_of(answer)["code"] == "too_large"


@pytest.mark.parametrize(
    ("method", "path", "more", "status", "code"),
    [
        ("GET", "/nothing", {}, 404, "not_found"),
        ("GET", "/v1/classify", {}, 405, "method_not_allowed"),
        ("POST", "/v1/classify", {"data": {"text": "a"}}, 415, "unsupported_type"),
        ("POST", "/v1/classify", {"files": {"other": ("a.txt", b"a")}}, 422, "invalid"),
        ("POST", "/v1/classify", {"files": {"file": ("a.pdf", b"%PDF-")}}, 422, "unreadable"),
        ("POST", "/v1/classify", {"files": {"file": ("a.txt", b"")}}, 422, "unreadable"),
        ("POST", "/v1/explain", {"json": {"text": "One.", "index": 1}}, 422, "no_such_unit"),
        ("POST", "/v1/explain", {"json": {"text": "He left. " * 600}}, 422, "too_long"),
    ],
)
def test_every_error_has_one_shape(
    client: TestClient, method: str, path: str, more: dict, status: int, code: str
) -> None:
    answer = client.request(method, path, **more)
    assert answer.status_code == status
    assert error_of(answer)["code"] == code
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_fault_of_the_server_says_nothing_of_its_insides(
    client: TestClient, keeper: ModelKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the secret path /home/anna")

    monkeypatch.setattr("pipeline.serve_batching._classify", broken)
    answer = client.post("/v1/classify", json={"text": GOAL})
    assert answer.status_code == 500
    assert "anna" not in answer.text
    monkeypatch.undo()
    assert client.post("/v1/classify", json={"text": GOAL}).status_code == 200


def test_one_bad_text_does_not_fail_those_beside_it(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline import serve_batching

    right = serve_batching._classify

    def picky(model, documents):
        if any("poison" in document.text for document in documents):
            raise RuntimeError
        return right(model, documents)

    monkeypatch.setattr(serve_batching, "_classify", picky)
    texts = [f"Text {n} is about a port." for n in range(11)] + ["poison"]
    with ThreadPoolExecutor(12) as pool:
        codes = list(pool.map(lambda text: client.post("/v1/classify", json={"text": text}).status_code, texts))
    assert codes == [200] * 11 + [500]


def test_requests_that_come_together_share_one_call(keeper: ModelKeeper, monkeypatch: pytest.MonkeyPatch) -> None:

    from pipeline.records import Document
    from pipeline.serve_batching import Batcher

    calls: list[int] = []

    async def crowd() -> list:
        batcher = Batcher(keeper, 100, calls.append)
        batcher.start()
        wanted = [batcher.classify([Document(f"d{n}", f"Port {n} is idle. {GOAL}")]) for n in range(20)]
        found = await asyncio.gather(*wanted)
        await batcher.stop()
        return found

    found = in_a_thread(crowd())
    assert sum(calls) == 20
    assert len(calls) <= 2, f"{calls}: what waits is handed over at once"
    assert [results[0].document.id for _, results in found] == [f"d{n}" for n in range(20)]
    assert all(len(results) == 1 and len(results[0].predictions) == 2 for _, results in found)


def test_too_many_waiting_are_told_so_at_once(keeper: ModelKeeper) -> None:

    from pipeline.records import Document
    from pipeline.serve_batching import Batcher
    from pipeline.serve_guard import RequestError

    async def crowd() -> list:
        batcher = Batcher(keeper, 2)
        wanted = [asyncio.create_task(batcher.classify([Document("d", GOAL)])) for _ in range(5)]
        await asyncio.sleep(0)
        batcher.start()
        found = await asyncio.gather(*wanted, return_exceptions=True)
        await batcher.stop()
        return found

    found = in_a_thread(crowd())
    refused = [one for one in found if isinstance(one, RequestError)]
    assert len(refused) == 3
    assert {one.status for one in refused} == {503}


def test_a_request_that_takes_too_long_is_told_so(keeper: ModelKeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    from pipeline import serve_batching

    monkeypatch.setattr(serve_batching, "_classify", lambda *_: time.sleep(1.0))
    with TestClient(create_app(keeper, limits=Limits(timeout=0.2)), base_url="http://localhost") as slow:
        answer = slow.post("/v1/classify", json={"text": GOAL})
    assert answer.status_code == 504
    assert error_of(answer)["code"] == "timeout"


def test_who_asks_for_reasons_too_early_is_told_to_ask_again(models: Path, small_corpus: Path) -> None:
    import threading

    ready = threading.Event()
    keeper = ModelKeeper(models, corpus=small_corpus, explaining=False)
    right = keeper.current.reasoner

    def late():
        ready.wait(30)
        return right()

    keeper.current.reasoner = late  # type: ignore[method-assign]
    with TestClient(create_app(keeper, limits=Limits(timeout=5.0)), base_url="http://localhost") as early:
        answer = early.post("/v1/explain", json={"text": GOAL})
        assert (answer.status_code, error_of(answer)["code"]) == (503, "starting")
        assert early.post("/v1/classify", json={"text": GOAL}).status_code == 200, "nobody else waits for it"
        ready.set()
        right()  # it has been read by now
        assert early.post("/v1/explain", json={"text": GOAL}).status_code == 200


def test_words_beyond_those_that_are_kept_leave_no_trace(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    word = "Zzyqxward"
    monkeypatch.setattr(sentences, "KEPT_WORDS", 0)
    monkeypatch.setattr(sentences, "_words", lru_cache(sentences._words.__wrapped__))
    assert client.post("/v1/explain", json={"text": f"The {word} wants a deal."}).status_code == 200
    assert client.post("/v1/classify", json={"text": f"The {word} wants a deal."}).status_code == 200
    assert word not in sentences.blank_english().vocab.strings


# who may ask


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", ""])
def test_a_name_that_somebody_points_here_is_refused(client: TestClient, host: str) -> None:
    answer = client.get("/v1/model", headers={"Host": host})
    assert answer.status_code == 421
    assert error_of(answer)["code"] == "unknown_host"


@pytest.mark.parametrize("host", ["localhost", "localhost:8642", "127.0.0.1:1", "[::1]:8642", "LOCALHOST"])
def test_the_names_of_this_machine_are_known(client: TestClient, host: str) -> None:
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_page_of_another_origin_may_not_ask(client: TestClient, headers: dict[str, str]) -> None:
    answer = client.post("/v1/classify", json={"text": GOAL}, headers=headers)
    assert answer.status_code == 403
    assert error_of(answer)["code"] == "cross_origin"


@pytest.mark.parametrize("headers", [{}, {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}])
def test_programs_and_our_own_pages_may_ask(client: TestClient, headers: dict[str, str]) -> None:
    assert client.post("/v1/classify", json={"text": GOAL}, headers=headers).status_code == 200


def test_a_token_is_asked_for_where_data_is(keeper: ModelKeeper) -> None:
    app = create_app(keeper, token=TOKEN, hosts=())
    with TestClient(app, base_url="http://news.example") as guarded:
        for path in ("/v1/model", "/metrics", "/openapi.json", "/nothing"):
            answer = guarded.get(path)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"] == "Bearer"
        for given in ("", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN):
            answer = guarded.post("/v1/classify", json={"text": GOAL}, headers={"Authorization": given})
            assert error_of(answer)["code"] == "unauthorised"
        right = {"Authorization": f"Bearer {TOKEN}"}
        assert guarded.post("/v1/classify", json={"text": GOAL}, headers=right).status_code == 200
        for path in ("/", "/docs", "/healthz"):
            assert guarded.get(path).status_code == 200, path


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "::", "news.example", ""])
def test_an_address_that_others_reach_needs_a_token(host: str) -> None:
    with pytest.raises(PipelineError, match=r"a token is needed \(set COMMUNIQUE_TOKEN"):
        checked_token(host, None)
    assert checked_token(host, TOKEN) == TOKEN


@pytest.mark.parametrize("token", ["short", "with space in the middle", "ümlaut-ümlaut-ümlaut", "line\nfeed-line-feed"])
def test_a_token_that_is_none_is_refused(token: str) -> None:
    with pytest.raises(PipelineError, match="it needs 16 or more, ASCII and without spaces"):
        checked_token("127.0.0.1", token)


@pytest.mark.parametrize(
    ("host", "own"), [("127.0.0.1", True), ("127.8.0.1", True), ("::1", True), ("10.0.0.1", False)]
)
def test_loopback_is_told_from_other_addresses(host: str, own: bool) -> None:
    assert is_loopback(host) is own
    assert checked_token("127.0.0.1", None) is None


def test_a_server_goes_by_its_own_names() -> None:
    assert "127.0.0.1" in allowed_hosts("127.0.0.1", ["desk.example"], None)
    assert "desk.example" in allowed_hosts("127.0.0.1", ["desk.example"], None)
    assert allowed_hosts("0.0.0.0", [], TOKEN) == [], "the token guards; no page elsewhere has it"
    assert allowed_hosts("0.0.0.0", ["news.example"], TOKEN) == ["0.0.0.0", "news.example"]
    assert address("::1", 80, "/review") == "http://[::1]:80/review"


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    with (
        open_socket("127.0.0.1", 0) as first,
        pytest.raises(PipelineError, match=r"address already in use \(name another with --port"),
    ):
        open_socket("127.0.0.1", first.getsockname()[1])


# pages


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_lets_nothing_in_from_elsewhere(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    for sign in (' src="', "@import", "url(", "//cdn"):
        assert sign not in answer.text, "everything stands in the page"
    assert "innerHTML" not in answer.text


def test_the_schema_is_there_without_a_network(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    assert set(schema["paths"]) == {"/v1/classify", "/v1/explain", "/v1/model", "/healthz", "/metrics"}
    assert set(schema["paths"]["/v1/classify"]["post"]["requestBody"]["content"]) == {
        "application/json",
        "multipart/form-data",
    }


# the model


def test_a_model_that_is_promoted_is_taken_up(trained, small_corpus: Path, tmp_path: Path, quick: None) -> None:
    from pipeline import train

    shelf = tmp_path / "models"
    shutil.copytree(trained.folder.parent, shelf)
    other = train.train(small_corpus, shelf, seed=1, cross_validation=False).info.id
    promote(trained.info.id, shelf)
    said: list[str] = []
    keeper = ModelKeeper(shelf, explaining=False, said=said.append)
    assert keeper.current.model.info.id == trained.info.id
    assert not keeper.refresh()
    promote(other, shelf)
    assert keeper.refresh()
    assert keeper.current.model.info.id == other

    (shelf / "current").write_text("mnothing\n")
    assert not keeper.refresh()
    assert keeper.current.model.info.id == other, "a model that can't be opened changes nothing"
    assert "mnothing" in (keeper.problem or "")
    promote(trained.info.id, shelf)
    assert keeper.refresh()
    assert keeper.problem is None
    assert len(said) == 3

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.model.UnitClassifier.predict_proba", lambda *_: 1 / 0)
        promote(other, shelf)
        assert not keeper.refresh()
    assert keeper.current.model.info.id == trained.info.id, "one that opens and can't classify is not taken either"
    assert "ZeroDivisionError" in (keeper.problem or "")

    fixed = ModelKeeper(shelf, other, explaining=False)
    promote(other, shelf)
    promote(trained.info.id, shelf)
    assert not fixed.refresh()
