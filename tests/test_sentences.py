"""Units: their offsets on any text, their boundaries, kinds and sections, and their tokens."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest
import spacy
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline import sentences
from pipeline.records import Document
from pipeline.sentences import ATTRIBUTES, Parsed, hash_of, parse, parse_many, string_of, tokens_of

ORTH = ATTRIBUTES.index("ORTH")
MARK = re.compile(r"(?:[-*+•‣◦▪■●○·►➤–—#>=_~|:\s]|\(?[0-9a-z]{1,5}[.)])*")


def units(text: str, title: str | None = None) -> Parsed:
    return parse(Document("d", text, title))


def texts(text: str) -> list[str]:
    return [unit.text for unit in units(text).units]


def rows(text: str, title: str | None = None) -> list[tuple[str, str | None, str]]:
    return [(unit.kind, unit.section, unit.text) for unit in units(text, title).units]


def words(parsed: Parsed) -> list[list[str]]:
    tokens = parsed.tokens
    orth = [string_of(key) for key in tokens.attributes[:, ORTH]]
    return [orth[start:end] for start, end in zip(tokens.starts, tokens.starts[1:], strict=False)]


def check_contract(text: str) -> None:
    parsed = units(text)
    at = 0
    for index, unit in enumerate(parsed.units):
        assert unit.index == index
        assert unit.document == "d"
        assert text[unit.start : unit.end] == unit.text
        assert unit.text
        assert unit.text == unit.text.strip()
        assert unit.start >= at
        assert MARK.fullmatch(text[at : unit.start]), "text was left out"
        at = unit.end
    assert MARK.fullmatch(text[at:]), "text was left out"
    starts = parsed.tokens.starts
    assert len(starts) == len(parsed.units) + 1
    assert starts[0] == 0
    assert starts[-1] == len(parsed.tokens.attributes)
    assert (np.diff(starts) >= 0).all()


any_character = st.characters(exclude_categories=())  # half surrogates too: broken JSON holds them
SPACES = [" ", "  ", "\n", "\n\n", "\r\n", "\r", "\t", "\xa0", "\u2028", "\x0b", "\x85"]
SIGNS = [*"\"'“”.…?!;:-–—•*#>()3é。🙂|", "...", "[1]", "1.", "(a)", "**", "===", "---"]
WORDS = ["The", "U.S.", "envoy", "said", "Gen.", "A.", "中文", "Challenges:", "yesterday.The", "p.m."]
news = st.sampled_from(SPACES + SIGNS + WORDS)


@settings(max_examples=150, deadline=None)
@given(st.text(any_character) | st.builds(str.join, st.sampled_from(["", " "]), st.lists(news, max_size=40)))
@example("\ud800 The end. \udfff")
@example("‣\n•\n1.\n# \n> \n")
def test_offsets_hold_and_nothing_is_lost_on_any_text(text: str) -> None:
    check_contract(text)


@pytest.mark.parametrize("text", ["", "   ", "\n\r\n\t", "---\n***\n# #\n"])
def test_text_without_words_has_no_units(text: str) -> None:
    parsed = units(text)
    assert parsed.units == ()
    assert parsed.title is None
    assert parsed.tokens.attributes.shape == (0, len(ATTRIBUTES))
    assert parsed.tokens.starts.tolist() == [0]


@pytest.mark.parametrize(
    "text",
    [  # "|" marks where it must be cut, and nowhere else
        "The U.S. Special Envoy met Gen. R. T. Okonkwo at 5 p.m. Monday.|Talks closed at 9 p.m.|Officials said little.",
        "He flew home to the U.S.|The trip cost $2.5 million.|See No. 5 and Art. 51.|No.|We will not sign.",
        "On Jan. 3 they met.|They met again in Dec.|Envoys left.|Lt. Col. Adams saw H.E. Dr. Tamba in St. Petersburg.",
        "He left Halvorsen Inc.|The firm lost vs. Brandt Ltd. of Hull.|Fruit, grain, etc.|Ministers agreed.",
        "Kim J. S. Lee met John F. Ruiz, Jr. on Friday.|Nobody is taller than I.|After World War I.|Borders moved.",
        "“We are ready.”|The minister smiled.|“Are we?” President Lund asked.|“We are.” said her aide.|They left.",
        '"We came.|We saw.|We left," she said.|He called it a "roaring void."|They agreed.|It was “enough”.|All left.',
        "They want peace … on their terms.|He waited...|Nobody came.|But . . . it passed.|(He came later.)|Fine!",
        "OSLO (AP) — The talks ended.|MALMÖ, Jan. 3 (Reuters) - The envoy left.|NICE, France — Rain fell.",
        "The talks ended yesterday.|The envoy left.|See www.Example.Com/Foo.Bar.|It fell.[1]|It rose.12|Yes.¹",
        "Great news! 🎉|The sides agreed 🙂.|Мы готовы.|Они нет.|نحن مستعدون؟|نعم.|Đặng came.|Óscar left.",
        "Three aims: 1. expand trade, 2. cut tariffs; and (a) open ports; (b) dredge rivers.|All agreed.",
        "The plan **works.**|Read [the text](http://a.example/b.c).|He said: “Go.”|She went (at 9 a.m. EDT).|Good.",
    ],
)
def test_sentence_boundaries(text: str) -> None:
    joined = text.replace("yesterday.|The", "yesterday.The").replace("|", " ")
    assert texts(joined) == text.split("|")


def test_chinese_full_stops_need_no_space() -> None:
    assert texts("我们准备好了。他们没有。") == ["我们准备好了。", "他们没有。"]


def test_question_and_answer_marks_stay_with_their_text() -> None:
    assert texts("Q. What next?\nA. We wait.\n\nQ: And then?\nA: We go.") == [
        "Q. What next?",
        "A. We wait.",
        "Q: And then?",
        "A: We go.",
    ]


def test_speakers_are_units_and_datelines_are_not() -> None:
    assert texts("MODERATOR: Thank you. Go on.\n\nSUNDBERG: Yes.") == [
        "MODERATOR:",
        "Thank you.",
        "Go on.",
        "SUNDBERG:",
        "Yes.",
    ]
    assert texts("NEW DELHI: India agreed. So did Nepal.") == ["NEW DELHI: India agreed.", "So did Nepal."]


MARKDOWN = """# Ministers meet in Oslo

They met on Monday. They agreed on **little**.

## 2. Outlook ##

Some of the key points include:

- **Challenges**:
  - Money is short. Trust is shorter.
  - distrust
- Opportunities:
  - trade
- a last point

The rest is open.
"""


def test_markdown_kinds_sections_and_title() -> None:
    assert units(MARKDOWN).title == "Ministers meet in Oslo"
    assert units(MARKDOWN, "Given").title == "Given"
    include = "Some of the key points include:"
    assert rows(MARKDOWN) == [
        ("heading", None, "Ministers meet in Oslo"),
        ("sentence", None, "They met on Monday."),
        ("sentence", None, "They agreed on **little**."),
        ("heading", None, "2. Outlook"),
        ("sentence", "2. Outlook", include),
        ("bullet", include, "**Challenges**:"),
        ("bullet", "Challenges:", "Money is short. Trust is shorter."),
        ("bullet", "Challenges:", "distrust"),
        ("bullet", include, "Opportunities:"),
        ("bullet", "Opportunities:", "trade"),
        ("bullet", include, "a last point"),
        ("sentence", "2. Outlook", "The rest is open."),
    ]


PLAIN = """Two capitals look for a way out of the long quarrel over fish
The ministers of both countries spoke for an hour on Monday, and a second round of talks is planned for the spring.
Some of the points raised include:
- Challenges:
- Old disputes over licences
- Opportunities:
- Joint patrols
Goals and Priorities of the Spring Round
The two sides want a treaty.
BACKGROUND
They have argued since 1974."""


@pytest.mark.parametrize("newline", ["\n", "\n\n", "\r\n", "\r\n\r\n"])
def test_plain_text_with_a_paragraph_a_line(newline: str) -> None:
    goals = "Goals and Priorities of the Spring Round"
    found = rows(PLAIN.replace("\n", newline))
    lines = [line.removeprefix("- ") for line in PLAIN.splitlines()]
    assert [text for _, _, text in found] == lines
    assert found[0][0] == "heading"
    assert found[1][1] is None
    assert found[3:] == [
        ("bullet", "Some of the points raised include:", "Challenges:"),
        ("bullet", "Challenges:", "Old disputes over licences"),
        ("bullet", "Some of the points raised include:", "Opportunities:"),
        ("bullet", "Opportunities:", "Joint patrols"),
        ("heading", None, goals),
        ("sentence", goals, "The two sides want a treaty."),
        ("heading", goals, "BACKGROUND"),
        ("sentence", "BACKGROUND", "They have argued since 1974."),
    ]


WRAPPED = """Ferry talks open

The foreign ministers of the two island states met on Monday
in Port Ansel to discuss a new ferry line, the first since Gen.
Amadi closed the old one in
2011. They set no date — though aides spoke of the spring, in
a joint note.

2. Constraints identified

The note names what stands in the way of an early agreement on
the line:

- a lack of money, which has held up the repair of both ports
  since 2019
- distrust

Next steps
==========
A second meeting will follow.
"""


def test_hard_wrapped_paragraphs_are_joined() -> None:
    found = rows(WRAPPED)
    first = "The foreign ministers of the two island states met on Monday\nin Port Ansel to discuss a new ferry line, "
    assert found[0] == ("heading", None, "Ferry talks open")
    assert found[1][2].startswith(first)
    assert "Gen.\nAmadi" in found[1][2]
    lead_in = "The note names what stands in the way of an early agreement on the line:"
    long_item = "a lack of money, which has held up the repair of both ports\n  since 2019"
    assert found[-6:] == [
        ("heading", None, "2. Constraints identified"),
        ("sentence", "2. Constraints identified", lead_in.replace("on the line", "on\nthe line")),
        ("bullet", lead_in, long_item),
        ("bullet", lead_in, "distrust"),
        ("heading", "2. Constraints identified", "Next steps"),
        ("sentence", "Next steps", "A second meeting will follow."),
    ]


def test_clauses_and_numbered_items_are_bullets() -> None:
    text = "The Board wants:\n(a) to expand trade;\n(b) to cut tariffs.\n\nIt also says:\nto sail; or\nto row.\n\nDone."
    kinds = [kind for kind, _, _ in rows(text)]
    assert kinds == ["sentence", "bullet", "bullet", "sentence", "bullet", "bullet", "sentence"]
    assert texts("He named two.\n1. Trade\n2. Peace\n") == ["He named two.", "Trade", "Peace"]


def test_a_single_line_is_a_sentence_and_a_byline_is_no_section() -> None:
    assert rows("The two sides seek a deal")[0][0] == "sentence"
    assert [row[1] for row in rows("Ferry talks open\n\nBy Ann Osei\n\nThey met.")] == [None, None, None]


def test_an_opening_line_other_than_the_known_title_is_a_section() -> None:
    assert rows("Key points\n\nThey met.", "Ferry talks open")[1][1] == "Key points"
    assert rows("Ferry  talks open\n\nThey met.", "Ferry talks open")[1][1] is None


def test_tokens_leave_out_space_and_marks_between_units() -> None:
    parsed = units("# Talks\n\n- We don't  know.\n•Yes, we do.\n")
    assert words(parsed) == [["Talks"], ["We", "do", "n't", "know", "."], ["Yes", ",", "we", "do", "."]]
    assert parsed.tokens.attributes.dtype == np.uint64
    assert parsed.tokens.starts.dtype == np.int64


def test_every_attribute_has_spacys_hash() -> None:
    row = tokens_of(["Geneva"]).attributes[0]
    assert [string_of(key) for key in row] == ["geneva", "Xxxxx", "eva", "Geneva"]
    assert row.tolist() == [hash_of(string) for string in ("geneva", "Xxxxx", "eva", "Geneva")]


def test_tokens_of_rows_are_those_of_the_document() -> None:
    parsed = units(MARKDOWN + WRAPPED)
    alone = tokens_of([unit.text for unit in parsed.units])
    assert np.array_equal(alone.attributes, parsed.tokens.attributes)
    assert np.array_equal(alone.starts, parsed.tokens.starts)
    assert tokens_of([]).starts.tolist() == [0]
    assert np.diff(tokens_of(["One two.", "", "Three."]).starts).tolist() == [3, 0, 2]


def test_tokens_are_those_of_plain_spacy() -> None:
    bare = spacy.blank("en")
    for text in ("They don't agree; the U.S. can't. E-mail a@b.example, 3-year (non-binding) plan!", WRAPPED):
        expected = [token.orth for token in bare(text) if not token.is_space]
        assert tokens_of([text]).attributes[:, ORTH].tolist() == expected


def test_huge_texts_are_cut_where_it_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "The envoy can't stay in Oslo.\n\n- Trade grew by 3.5 percent, again\n\n" * 40
    whole = units(text)
    monkeypatch.setattr(sentences, "CHUNK", 700)
    pieces = units(text)
    assert pieces.units == whole.units
    assert np.array_equal(pieces.tokens.attributes, whole.tokens.attributes)
    assert np.array_equal(pieces.tokens.starts, whole.tokens.starts)


HOSTILE = ["(" * 30_000, "a" * 1_200_000, "." * 300_000, "é" * 9_000 + "!" * 9_000, "\" '" * 9_000, ". " * 90_000]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_takes_no_hostile_time(text: str) -> None:
    started = time.perf_counter()
    check_contract(text)
    assert time.perf_counter() - started < 20


def test_parse_many_keeps_the_order_and_is_lazy() -> None:
    def documents():  # type: ignore[no-untyped-def]
        yield Document("a", "One. Two.")
        yield Document("b", "Three.")
        raise AssertionError("read ahead")

    parsed = parse_many(documents())
    assert [len(next(parsed).units), len(next(parsed).units)] == [2, 1]


def test_component_works_on_its_own() -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("communique_sentences")
    doc = nlp("# Oslo talks\n\nGen. Amadi left.  Nobody spoke.\n\n- trade\n- peace, at last\n")
    assert [sentence.text.strip() for sentence in doc.sents] == [
        "# Oslo talks",
        "Gen. Amadi left.",
        "Nobody spoke.",
        "- trade",
        "- peace, at last",
    ]
    assert len(nlp("")) == 0
    assert len(list(nlp("\n\n").sents)) == 1
