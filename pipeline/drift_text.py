"""A comparison of new articles with the corpus as a person reads it."""

from __future__ import annotations

from pipeline.drift import ALARM, LEAST_DOCUMENTS, Drift
from pipeline.drift_measures import MEASURES
from pipeline.report import table_lines

_NAMES = {
    "labels": "shift of label shares",
    "uncertain": "uncertain units",
    "unseen": "words never met",
    "novelty": "novelty of a document",
}


def drift_text(found: Drift) -> str:
    """The verdict first, then the figures behind it, and what to label first."""
    lines = [verdict(found), *(f"Note: {note}." for note in found.notes), ""]
    lines.append(
        f"{found.documents} documents, {found.units} units, beside {found.reference_articles} articles of the corpus"
    )
    rows = [
        [
            _NAMES[name],
            f"{found.measures[name].value:.3f}",
            "-" if name == "labels" else f"{found.measures[name].reference:.3f}",
            f"{found.measures[name].limit:.3f}",
            "unusual" if found.measures[name].unusual else "as usual",
        ]
        for name in MEASURES
    ]
    lines += table_lines(["measure", "here", "corpus", "unusual above", ""], rows)
    lines += ["", "shares of labels, as the model sees them"]
    shares = [[label, f"{new:.1%}", f"{old:.1%}"] for label, (new, old) in found.label_shares.items()]
    lines += table_lines(["label", "here", "corpus"], shares)
    if found.unseen_words:
        words = ", ".join(f"{word} ({count})" for word, count in found.unseen_words)
        lines += ["", f"words never met, with the documents that have them: {words}"]
    if found.first:
        lines += ["", "label these first"]
        documents = [
            [f"{place}. {one.id}", one.units, f"{one.uncertain:.0%}", f"{one.unseen:.0%}", f"{one.novelty:.2f}"]
            for place, one in enumerate(found.first, start=1)
        ]
        lines += table_lines(["document", "units", "uncertain", "never met", "novelty"], documents)
    return "\n".join(lines)


def verdict(found: Drift) -> str:
    """In one or two sentences, whether it is time to label more."""
    names = " and ".join(_NAMES[name] for name in found.unusual)
    if found.documents < LEAST_DOCUMENTS:
        return (
            f"Too few articles to say whether it is time to label more: {found.documents}, and {LEAST_DOCUMENTS} are "
            f"needed. Unusual so far: {names or 'nothing'}."
        )
    if found.label_more:
        return (
            f"Time to label more: these articles are unlike the corpus ({names}). "
            "Label the documents below, put them into the corpus, and run `communique train`."
        )
    if found.unusual:
        return (
            f"Not yet time to label more: one of {len(MEASURES)} measures is unusual ({names}), "
            f"and {ALARM} would be a sign. Look again when there are more articles."
        )
    return "No need to label more: these articles are as like the corpus as its own articles are like each other."
