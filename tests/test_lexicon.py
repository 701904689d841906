"""The lexicon: its pattern language, what it refuses, and the files that are shipped."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import lexicon
from pipeline.lexicon import ANY, LONGEST, MOST_PHRASES, Group, expand, load_lexicon, plural, verb_forms
from pipeline.records import PipelineError
from pipeline.sentences import string_of, tokens_of

CLASSES = {"poss": [("its",), ("their",)], "side": [("both", "sides"), ("neither",)]}
SHIPPED = Path(lexicon.__file__).parent / "lexicon"


def phrases(pattern: str) -> set[str]:
    return {" ".join(phrase) for phrase in expand(pattern, CLASSES)}


# each row of the table in the module's docstring, and how rows combine


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("talks", {"talks"}),
        ("Peace Talks", {"peace talks"}),
        ("people-to-people", {"people - to - people"}),
        ("country's", {"country 's"}),
        ("u.s. troops", {"u.s. troops"}),
        ("pledge.v", {"pledge", "pledges", "pledged", "pledging"}),
        ("fear.n", {"fear", "fears"}),
        ("cease-fire.n", {"cease - fire", "cease - fires"}),
        ("a|b.v|c", {"a", "b", "bs", "bed", "bing", "c"}),
        ("@poss aim", {"its aim", "their aim"}),
        ("@side want", {"both sides want", "neither want"}),
        ("@poss|our aim", {"its aim", "their aim", "our aim"}),
        ("ask * to", {"ask * to"}),
        (
            "be.v? ready to",
            {f"{be} ready to" for be in ["be", "am", "is", "are", "was", "were", "been", "being"]} | {"ready to"},
        ),
        ("give @poss? word", {"give its word", "give their word", "give word"}),
        ("a *? b", {"a * b", "a b"}),
        ("why ?", {"why ?"}),
        ("a|a a", {"a a"}),
        ("v|n of", {"v of", "n of"}),
    ],
)
def test_a_pattern_matches_what_the_table_says(pattern: str, expected: set[str]) -> None:
    assert phrases(pattern) == expected


@pytest.mark.parametrize(
    ("written", "spelling"),
    [
        ("normalize", "normalise"),
        ("normalizes", "normalises"),
        ("normalized", "normalised"),
        ("normalizing", "normalising"),
        ("normalization", "normalisation"),
        ("organizations", "organisations"),
    ],
)
def test_ize_is_found_as_ise_too(written: str, spelling: str) -> None:
    assert phrases(written) == {written, spelling}


def test_short_words_in_ize_have_one_spelling() -> None:
    assert phrases("size") == {"size"}
    assert phrases("prize|prized") == {"prize", "prized"}


def test_a_verb_in_ize_has_all_forms_in_both_spellings() -> None:
    endings = ("e", "es", "ed", "ing")
    assert phrases("mobilize.v") == {f"mobili{letter}{ending}" for letter in "sz" for ending in endings}


@pytest.mark.parametrize(
    ("verb", "forms"),
    [
        ("walk", "walk walks walked walking"),
        ("urge", "urge urges urged urging"),
        ("agree", "agree agrees agreed agreeing"),
        ("eye", "eye eyes eyed eyeing"),
        ("carry", "carry carries carried carrying"),
        ("stay", "stay stays stayed staying"),
        ("plan", "plan plans planned planning"),
        ("vow", "vow vows vowed vowing"),
        ("fix", "fix fixes fixed fixing"),
        ("visit", "visit visits visited visiting"),
        ("aim", "aim aims aimed aiming"),
        ("push", "push pushes pushed pushing"),
        ("press", "press presses pressed pressing"),
        ("seek", "seek seeks sought seeking"),
        ("set", "set sets setting"),
        ("be", "be am is are was were been being"),
        ("tie", "tie ties tied tying"),
        ("travel", "travel travels travelled traveled travelling traveling"),
        ("arise", "arise arises arose arisen arising"),
        ("foresee", "foresee foresees foresaw foreseen foreseeing"),
        ("commit", "commit commits committed committing"),
        ("recommit", "recommit recommits recommitted recommitting"),
        ("dig", "dig digs dug digging"),
        ("veto", "veto vetoes vetoed vetoing"),
    ],
)
def test_forms_of_a_verb(verb: str, forms: str) -> None:
    assert verb_forms(verb) == tuple(forms.split())


@pytest.mark.parametrize(
    ("noun", "expected"),
    [
        ("talk", "talks"),
        ("tax", "taxes"),
        ("loss", "losses"),
        ("clash", "clashes"),
        ("breach", "breaches"),
        ("ally", "allies"),
        ("delay", "delays"),
        ("crisis", "crises"),
        ("spokeswoman", "spokeswomen"),
        ("memorandum", "memoranda"),
        ("embargo", "embargoes"),
        ("veto", "vetoes"),
        ("monarch", "monarchs"),
        ("child", "children"),
    ],
)
def test_plural_of_a_noun(noun: str, expected: str) -> None:
    assert plural(noun) == expected


# what is refused


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("@nobody wants", r"unknown class '@nobody'; the classes are poss, side"),
        ("* wants", "must begin and end with a word"),
        ("wants *", "must begin and end with a word"),
        ("wants *?", "must begin and end with a word"),
        ("maybe? perhaps?", "must begin and end with a word"),
        ("", "must begin and end with a word"),
        (" ".join("a" * (LONGEST + 1)), rf"'a a a a a a a a a' is longer than {LONGEST} tokens"),
        ("one-to-one-to-one", rf"'one - to - one - to - one' is longer than {LONGEST} tokens"),
        ("call.v on|", "empty alternative"),
        ("on||upon", "empty alternative"),
        (".v on", "empty alternative"),
        ("agree to?|on", r"`\?` inside a slot, after 'to'; it stands at the end: `a\|b\?`"),
    ],
)
def test_a_wrong_pattern_is_refused_by_name(pattern: str, message: str) -> None:
    with pytest.raises(PipelineError, match=message) as caught:
        expand(pattern, CLASSES, "goal.toml group 'x'")
    assert str(caught.value).startswith(f"goal.toml group 'x' pattern {pattern!r}: ")


def test_a_phrase_may_have_eight_tokens() -> None:
    assert len(phrases(" ".join("a" * LONGEST))) == 1


def test_too_many_phrases_are_refused_before_they_are_made() -> None:
    slot = "|".join(f"w{number}" for number in range(100))
    assert len(expand(f"{slot} {slot}", {})) == 10_000
    # a hundred million: making them first would take minutes
    with pytest.raises(PipelineError, match=f"expands to 100000000 phrases; at most {MOST_PHRASES} are allowed"):
        expand(" ".join([slot] * 4), {})


WORDS = st.sampled_from(["talks", "trade", "envoy", "pact"])


@given(st.lists(st.tuples(st.lists(WORDS, min_size=1, max_size=3, unique=True), st.booleans()), min_size=1, max_size=5))
def test_alternatives_and_options_multiply(slots: list[tuple[list[str], bool]]) -> None:
    expected = {()}
    for words, optional in slots:
        expected = {(*before, *more) for before in expected for more in [(w,) for w in words] + [()] * optional}
    pattern = " ".join("|".join(words) + "?" * optional for words, optional in slots)
    if () in expected:
        with pytest.raises(PipelineError, match="must begin and end with a word"):
            expand(pattern, {})
    else:
        assert expand(pattern, {}) == expected


# files

Folder = Callable[..., tuple[Group, ...]]


@pytest.fixture
def load_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """Loads lexicon files given as name=text, with the shipped table of irregular words."""
    plural("crisis")  # the table is read once per process, from the package

    def load(**texts: str | bytes) -> tuple[Group, ...]:
        (tmp_path / "lexicon").mkdir()
        for name, text in texts.items():
            path = tmp_path / "lexicon" / f"{name}.toml"
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        monkeypatch.setattr(lexicon, "files", lambda package: tmp_path)
        return load_lexicon.__wrapped__()  # without the cache

    return load


GOOD = '[group.want]\nabout = "a wish"\npatterns = ["want.v to"]\n'


def test_groups_of_all_files_come_sorted_and_share_classes(load_from: Folder) -> None:
    groups = load_from(
        a='[classes]\nposs = "its aim.n"\n' + GOOD,
        b='[group.aim]\nabout = "an aim"\npatterns = ["@poss goal", "target"]\n',
    )
    assert [group.name for group in groups] == ["aim", "want"]
    assert groups[0] == Group(
        "aim", "an aim", frozenset({("its", "goal"), ("aim", "goal"), ("aims", "goal"), ("target",)})
    )
    assert groups[1].phrases == {("want", "to"), ("wants", "to"), ("wanted", "to"), ("wanting", "to")}


def test_class_names_and_words_are_lower_cased_like_patterns(load_from: Folder) -> None:
    (group,) = load_from(a='[classes]\nEU = "EU Brussels"\n[group.x]\nabout = "x"\npatterns = ["@EU wants"]\n')
    assert group.phrases == {("eu", "wants"), ("brussels", "wants")}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"a": "[group.x\n"}, r"a\.toml: not valid TOML: .*line 1"),
        ({"a": b'[group.x]\nabout = "\xe9"\n'}, r"a\.toml: not UTF-8"),
        ({"a": GOOD, "b": GOOD}, r"b\.toml: group 'want' stands in another lexicon file too"),
        ({"a": GOOD + '[classes]\np = "its"', "b": '[classes]\np = "our"'}, r"b\.toml: class 'p' stands in another"),
        ({"a": GOOD.replace("want.v", "@who")}, r"a\.toml group 'want' pattern '@who to': unknown class '@who'"),
        ({"a": '[classes]\np = "its @q"\n'}, r"a\.toml class 'p': unknown class '@q'"),
        ({"a": '[classes]\np = ["its"]\n'}, r"a\.toml class 'p': expected its words as one string"),
        ({"a": '[group.x]\npatterns = ["a"]\n'}, r"a\.toml group 'x': needs `about`.* and `patterns`"),
        ({"a": '[group.x]\nabout = "x"\n'}, r"a\.toml group 'x': needs `about`.* and `patterns`"),
        ({"a": '[group.x]\nabout = "x"\npatterns = []\n'}, r"a\.toml group 'x': needs `about`.* and `patterns`"),
        ({"a": '[group.x]\nabout = "x"\npatterns = "abc"\n'}, r"a\.toml group 'x': needs `about`.* and `patterns`"),
        ({"a": 'group = "x"\n'}, r"a\.toml: `group` must be a table"),
    ],
)
def test_a_wrong_file_is_named(load_from: Folder, texts: dict[str, str | bytes], message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        load_from(**texts)


# the shipped files


def alternatives() -> Iterator[tuple[str, str]]:
    """File and alternative, for every alternative of every slot and class word as it is written."""
    for path in sorted(SHIPPED.glob("*.toml")):
        if path.name == "irregular.toml":
            continue
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        slots = [slot for group in table.get("group", {}).values() for p in group["patterns"] for slot in p.split()]
        slots += [word for words in table.get("classes", {}).values() for word in words.split()]
        for slot in dict.fromkeys(slots):
            for text in (slot[:-1] if len(slot) > 1 and slot.endswith("?") else slot).split("|"):
                yield path.name, text


def test_every_shipped_group_is_named_explained_and_filled() -> None:
    groups = load_lexicon()
    assert [group.name for group in groups] == sorted({group.name for group in groups})
    for group in groups:
        assert re.fullmatch(r"[a-z0-9_]+", group.name), group.name
        assert len(group.about) >= 5, f"{group.name}: {group.about!r}"
        assert group.phrases, group.name
        for phrase in group.phrases:
            assert 0 < len(phrase) <= LONGEST
            assert ANY not in (phrase[0], phrase[-1])


@pytest.mark.parametrize(
    "word", ["country's", "we'd", "cannot", "covid-19", "long-standing", "o'clock", "us$", "a.m.", "co-operation", "%"]
)
def test_words_are_cut_as_the_tokeniser_cuts_them(word: str) -> None:
    tokens = tokens_of([word])
    assert expand(word, {}) == {tuple(string_of(int(row[0])) for row in tokens.attributes)}


def test_every_shipped_word_can_occur_in_text() -> None:
    """A word that the tokeniser never gives (the norm of "£" is "$") would never match."""
    written = [(file, text) for file, text in alternatives() if text != ANY and not text.startswith("@")]
    expanded = [(file, phrase) for file, text in written for phrase in sorted(expand(text, {}))]
    pieces = sorted({phrase for _, phrase in expanded})
    alive = set()
    for change in (str, str.title, str.upper):  # "U.S." is one token, "u.s." is two
        tokens = tokens_of([change("".join(phrase)) for phrase in pieces])
        norms = [string_of(int(key)) for key in tokens.attributes[:, 0]]
        bounds = zip(pieces, tokens.starts, tokens.starts[1:], strict=False)
        alive |= {phrase for phrase, start, end in bounds if tuple(norms[start:end]) == phrase}
    dead = {f"{file}: {' '.join(phrase)!r}" for file, phrase in expanded if phrase not in alive}
    assert not dead, f"never given by the tokeniser, so never matched: {sorted(dead)}"
