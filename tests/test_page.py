"""What pages share: colours that can be read, text that stays text, and a policy that lets nothing else run."""

from __future__ import annotations

import base64
import hashlib
import html
import json

import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from pipeline.corpus_labels import load_labels
from pipeline.page import DARK, LIGHT, clean, colour_css, contrast, environment, ink_on, json_block, looks, policy
from pipeline.records import BACKGROUND

COLOURS = st.integers(0, 0xFFFFFF).map(lambda number: f"#{number:06x}")
HOSTILE = ["</script><script>alert(1)</script>", "<!--<script>", "]]>", "a\u2028b\u2029c", "&lt;", "\x00\ud800"]


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert contrast("#ffffff", "#777777") == contrast("#777777", "#ffffff")


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_stands_out_from_the_page(theme: dict[str, str]) -> None:
    for ground in ("page", "panel"):
        for text in ("ink", "soft", "accent"):
            assert contrast(theme[text], theme[ground]) >= 4.5, (text, ground)
        assert contrast(theme["line"], theme[ground]) >= 2.8, "edges of controls"
    assert contrast(theme["on-accent"], theme["accent"]) >= 4.5
    assert contrast(theme["ink"], theme["hit"]) >= 4.5


@given(COLOURS)
def test_whatever_colour_a_label_has_its_text_can_be_read(colour: str) -> None:
    for name in ("goal", BACKGROUND):
        (look,) = looks([name], {name: colour})
        assert contrast(look.ink, look.colour) >= 4.5
        assert contrast(LIGHT["ink"], look.light) >= 4.5
        assert contrast(DARK["ink"], look.dark) >= 4.5


def test_the_labels_of_the_corpus_differ_in_letter_and_colour() -> None:
    labels = load_labels(ROOT / "corpus")
    found = looks(labels.names, labels.colours, labels.letters)
    assert [look.letter for look in found] == [labels.letters[name].upper() for name in labels.names]
    assert len({look.colour for look in found}) == len(found)
    assert all(contrast(look.colour, LIGHT["page"]) >= 3 for look in found)
    assert all(contrast(look.colour, DARK["page"]) >= 2.9 for look in found)


def test_labels_without_colour_or_letter_get_one() -> None:
    found = looks(["goal", "gain", "ag", "g"], {"goal": "red;}body{display:none", "gain": "#12345"})
    assert [look.letter for look in found] == ["G", "A", "3", "4"]
    assert {look.colour for look in found} == {"#767676"}
    assert "display:none" not in colour_css(found)


def test_ink_is_black_or_white() -> None:
    assert (ink_on("#ffffff"), ink_on("#000000")) == ("#000000", "#ffffff")


@pytest.mark.parametrize("text", HOSTILE)
def test_data_cannot_leave_its_element(text: str) -> None:
    block = str(json_block({"text": text, text: 1}))
    assert not set(block) & set("<>&\u2028\u2029\x00\ud800")
    if "\ud800" not in text:
        assert json.loads(block)["text"] == text


@given(st.text(st.characters(exclude_categories=())))
def test_cleaned_text_keeps_its_characters_but_for_what_html_cannot_hold(text: str) -> None:
    escaped = str(clean(text))
    assert not set(escaped) & set("<>\"'\r")
    escaped.encode("utf-8")
    # what a browser reads; html.unescape maps numeric references as HTML 5 does
    read = html.unescape(escaped)
    assert len(read) == len(text)
    assert all(one == other or one == "\ufffd" for one, other in zip(read, text, strict=True))


def test_the_policy_names_the_hashes_and_no_more() -> None:
    digest = base64.b64encode(hashlib.sha256(b"go()").digest()).decode()
    found = policy("a{}", "go()")
    assert f"script-src 'sha256-{digest}'" in found
    assert found.startswith("default-src 'none'; ")
    assert "unsafe" not in found
    assert "connect-src 'self'" in policy("", "", connect_src="'self'")


def test_templates_escape_and_miss_nothing() -> None:
    assert environment().from_string("{{ x }}").render(x="<b>") == "&lt;b&gt;"
    with pytest.raises(UndefinedError, match="'x' is undefined"):
        environment().from_string("{{ x }}").render()
