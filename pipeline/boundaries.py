"""Where a sentence ends inside one paragraph: rules for newspaper and diplomatic English, without a model.

A regular expression finds the few places where a sentence could end; Python looks only at those. Rules are
about forms (abbreviations, initials, quotations, footnote marks), never about one text.
"""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Never the last word of a sentence: titles before a name, and words that announce what follows.
_NEVER = _words(
    "Mr Mrs Ms Mx Messrs Dr Drs Prof Gen Lt Col Maj Capt Cpl Sgt Cmdr Cdr Adm Brig Gov Sen Sens Rep Reps Rev Fr"
    " Hon Rt Amb Pres Supt Msgr Mme Mlle Smt Insp Det Pvt Pfc Spc Atty Ven Asst Dep Comm H.E H.M H.H H.R.H"
    " vs v cf viz ca approx incl esp e.g i.e E.g I.e"
)
#: Not the last word where a number follows ("No. 5", "Jan. 3", "Art. 51").
_BEFORE_NUMBER = _words(
    "No Nos no nos Art Arts art Fig Figs fig Eq Vol vol p pp para paras Para ch chap Ch Res Doc"
    " Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec Mon Tue Tues Wed Thu Thur Thurs Fri Sat Sun"
)
#: The last word only where the next word is one that opens sentences ("at Sterling Inc. The board ...").
_BEFORE_OPENER = _words(
    "Inc Corp Co Cos Ltd Bros Plc Pty Jr Sr al Ave Blvd Rd Dept Univ Assn Est Govt Intl Org Natl Sec Min St Ste"
    " Mt Ft Eng Bn Ph.D Calif Fla Mass Conn Pa Va Md Wash Ariz Tex Ill Mich Minn Tenn Colo Okla Ore Wis Ga Ky"
    " Ala Ark Del Nev Neb Kan"
)
_NO_END = _NEVER | _BEFORE_NUMBER | _BEFORE_OPENER | {"www"}
_OPENING = "\"'“‘«([*_"
_DOMAIN = re.compile(r"\.(?:com|org|net|gov|edu|info|js|uk|eu|int)\b", re.IGNORECASE)
_CLOCK = frozenset(("a.m", "p.m", "A.M", "P.M"))
_DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")  # U.S, U.N, D.C, H.R.H
#: A single letter after one of these names a thing, and is no initial ("World War I. Officials ...").
_LETTERED = _words(
    "War Plan Part Phase Annex Chapter Title Article Track Act Type Group Class Section Appendix Option Zone"
    " Category Schedule Vitamin Area Level Tier"
)
_OPENER = re.compile(
    r"[\"'“‘«(\[*_]*(?:The|This|That|These|Those|It|Its|In|On|At|By|For|From|With|Without|As|If|When|While|Where"
    r"|Although|Though|Because|Since|After|Before|During|Until|Despite|However|Moreover|Meanwhile|Still|Yet|But"
    r"|And|Or|So|Then|Thus|There|Here|He|She|They|We|You|I|His|Her|Their|Our|My|Your|A|An|All|Both|Each|Every"
    r"|Some|Many|Most|Several|Such|Another|Any|Not|Nor|Neither|Either|What|Who|Why|How|Which|Is|Are|Was|Were"
    r"|Do|Does|Did|Has|Have|Had|Let|Now|Today|Yesterday|Tomorrow|Later|Earlier|Recently|According|Asked"
    r"|Speaking|Among|Between|Against|Through|Instead|Nevertheless|Also|Even|Only|Two|Three|To)\b(?![-.])"
)
_AFTER_CLOCK = re.compile(  # "5 p.m. EDT", "9 a.m. Monday", "8 p.m. Moscow time", "7 a.m. (0400 GMT)"
    r"\(|[A-Z]{2,4}\b|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|(?:[A-Z]\w+\s+){1,2}(?:time|Time)\b"
    r"|(?:Eastern|Central|Pacific|Jan|Feb|Mar|Apr|May|June?|July?|Aug|Sept?|Oct|Nov|Dec)"
)
_ATTRIBUTION = re.compile(  # “Will it hold?” President Lindqvist asked.
    r"(?:(?:[A-Z][\w.’'-]*|of|the|al|bin|de|van|von)\s+){1,5}"
    r"(?:said|says|asked|asks|told|wrote|added|replied|shouted|wondered|declared|exclaimed)\b"
)
_SPEAKER = re.compile(r"(?:[A-Z][A-Z.’'-]+\s+){0,5}[A-Z][A-Z.’'-]+:(?=\s+\S)")  # MODERATOR: Thank you.
_ROLE = re.compile(
    r"\b(?:PRESIDENT|PRIME|MINISTER|SECRETARY|OFFICIAL|AMBASSADOR|SPOKES\w+|SENATOR|GENERAL|CHAIR\w*|MODERATOR"
    r"|CHANCELLOR|QUESTION|ANSWER|REPORTER|HOST|MRS?|MS|DR)\b"
)
_EMOJI = "\u2600-\u27bf\U0001f000-\U0001faff\ufe0f\u200d"
_QUOTES = "\"'”’»"
#: A place where a sentence could end. Group 2 is the gap after it, group 1 that after a full stop of Chinese or
#: Japanese, which needs none; neither matches where the next word is glued on. The pattern begins with a plain
#: set of characters, because that is what ``re`` searches for fast.
_CANDIDATE = re.compile(
    r"[.!?…؟۔।。！？](?<![.!?…؟۔।][.!?…؟۔।])(?:(?<=[。！？])[。！？]*+[”’」』）]*+(\s*+)|"
    r"(?:(?<=\.)(?:[ \xa0]\.){1,5}+(?!\.)|[.!?…؟۔।]*+)"  # ". . ." or more of the same
    r"[\"'”’»›)\]*_`]*+"  # what closes with it
    r"(?:(?<=[a-z)”\"’][.”\"’])\d{1,2}(?=\s+[A-Z“\"]))?"  # a footnote number glued on
    rf"(?:\s?\[\d{{1,3}}\]|[¹²³⁰⁴-⁹†‡]|[ \xa0]?[{_EMOJI}]++)*+"
    r"(?:(\s++(?:>\s*+)*+)(?=[^a-z,;:&%/=+\-–—)\]}.!?…])|(?=[\"“‘(]?[A-Z])))"
)


def sentence_spans(text: str, start: int, end: int, *, speaker: bool = True) -> list[tuple[int, int]]:
    """Split one paragraph into sentences.

    Parameters
    ----------
    text : str
        The whole document.
    start, end : int
        Where the paragraph begins and ends; neither is at white space.
    speaker : bool
        Whether any opening "SUNDBERG:" in capitals is a unit of its own, as in transcripts. Without it, only
        a role ("MODERATOR:") is, and other capitals are taken for a dateline ("NEW DELHI: ...").

    Returns
    -------
    list of (int, int)
        Offsets into ``text``, in order, without surrounding white space; together they hold every
        visible character of the paragraph.
    """
    spans = []
    opening = _SPEAKER.match(text, start, end) if text[start].isupper() else None
    if opening and (speaker or _ROLE.search(opening.group())):
        spans.append((start, opening.end()))
        start = _skip_space(text, opening.end())
    for match in _CANDIDATE.finditer(text, start, end):
        at, stop = match.span()
        if stop < end and (_plainly_ends(text, start, at, stop) or _ends_sentence(text, start, match)):
            gap = max(match.start(1), match.start(2))
            spans.append((start, gap if gap >= 0 else stop))
            start = stop
    spans.append((start, end))
    return spans


def _plainly_ends(text: str, start: int, at: int, stop: int) -> bool:
    """Whether a full stop with one space stands behind six letters: too long a word for an abbreviation, but one.

    The commonest end of a sentence; :func:`_ends_sentence` says the same of it, in more steps.
    """
    word = text[at - 6 : at]
    return stop - at == 2 and text[at] == "." and at - 6 >= start and word.isalpha() and word != "Messrs"


def _skip_space(text: str, at: int) -> int:
    while text[at].isspace():
        at += 1
    return at


def _ends_sentence(text: str, start: int, match: re.Match[str]) -> bool:
    """Whether the sentence that began at ``start`` ends at this candidate."""
    at = match.start()
    mark = text[at]
    found = match.group()
    if mark == "." and found[1:2] not in ("!", "?", "…") and not found.startswith(("...", ". .", ".\xa0.")):
        if match.start(2) < 0:
            return _glued_words(text, start, at)
        return _period_ends(text, start, at, match)
    if mark in ".…":  # an ellipsis with a space before it stands for left-out words
        return not text[at - 1 : at].isspace()
    if any(quote in found for quote in _QUOTES):
        return _ATTRIBUTION.match(text, match.end()) is None
    return True


def _glued_words(text: str, start: int, at: int) -> bool:
    """Whether a space is missing, as in "yesterday.The"; none is in "www.Example.Com", "J.Smith", "Mr.Smith"."""
    before = text[max(start, at - 60) : at].split()
    word = before[-1].strip(_OPENING) if before else ""
    if len(word) < 3 or any(sign in word for sign in ".@/") or _DOMAIN.match(text, at):
        return False
    return word not in _NO_END and not word.isupper()


def _period_ends(text: str, start: int, at: int, match: re.Match[str]) -> bool:
    """Whether a single full stop with a gap after it ends a sentence, or only an abbreviation."""
    before = text[max(start, at - 30) : at].split()
    if not before or text[at - 1].isspace():
        return True
    word = before[-1].lstrip(_OPENING).rpartition("-")[2]
    after = match.end()
    if len(word) > 5 and word.isalpha():
        return word not in _NEVER
    if word in _NEVER:
        return False
    if len(word) == 1 or (len(word) == 2 and word.isdigit()):  # "1. ", "Q. ": the mark of what follows
        opens = at - len(word) <= start or (len(before) > 1 and before[-2][-1] in ":;")
        if opens:
            return False
    if word in _BEFORE_NUMBER:
        return not text[after].isdigit()
    if len(word) == 1 and word.isupper():
        return _initial_ends(text, word, before[-2] if len(before) > 1 else "", after)
    if word in _CLOCK:
        return _AFTER_CLOCK.match(text, after) is None
    if word in _BEFORE_OPENER or _DOTTED.fullmatch(word):
        closed = text[at + 1] in _QUOTES  # “... to the U.S.” Officials said
        return closed or _OPENER.match(text, after) is not None
    return True


def _initial_ends(text: str, letter: str, previous: str, after: int) -> bool:
    """Whether a single capital with a full stop is the last word: "than I.", "on X.", not "John F."."""
    if letter == "I" and previous.islower():
        return True
    if letter == "X" and previous in ("on", "to", "via", "platform"):
        return True
    return previous in _LETTERED or text[after] in '"“‘' or _OPENER.match(text, after) is not None
