"""Rows rendered from columns are those of the writers, to the byte."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import render
from pipeline.records import Document, Kind, Result
from pipeline.report import writer_for

LABELS = ("challenge", 'odd "label" 100%', "background")
texts = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12)
kinds = st.sampled_from(["sentence", "heading", "bullet"])
parts = st.tuples(texts, kinds, st.none() | texts, st.integers(0, 10**6), st.integers(0, 10**6), st.booleans())


def result_of(name: str, units: list[tuple[str, Kind, str | None, int, int, bool]]) -> Result:
    spans, at = [], 0
    for text, kind, section, *_ in units:
        spans.append((at, at + len(text), kind, section))
        at += len(text)
    shares = np.array([[a / 10**6, b / 10**6, 0.1] for *_, a, b, _ in units]).reshape(len(units), 3)
    best = shares.argmax(axis=1)
    uncertain = np.array([unit[-1] for unit in units], dtype=bool)
    document = Document(name, "".join(unit[0] for unit in units), source=name)
    return Result(document, tuple(spans), LABELS, best, shares.max(axis=1, initial=0), uncertain, shares)


@pytest.mark.parametrize("form", render.FORMATS)
def test_rows_are_those_of_the_writers(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "_PIECE", 3)

    @settings(deadline=None)
    @given(texts, st.lists(parts, max_size=8))
    def check(name: str, units: list[tuple[str, Kind, str | None, int, int, bool]]) -> None:
        result = result_of(name, units)
        stream = io.StringIO(newline="")
        writer = writer_for(form, stream, LABELS, {}, lambda _: pytest.fail("no console is needed"))
        writer.document("", result.predictions)
        assert render.header(form, LABELS) + "".join(render.rows(form, result)) == stream.getvalue()
        keep = result.uncertain
        chosen = [prediction for prediction in result.predictions if prediction.uncertain]
        stream.seek(0)
        stream.truncate()
        writer.document("", chosen)
        assert "".join(render.rows(form, result, keep)) == stream.getvalue()

    check()
