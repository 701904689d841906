"""One self-contained page over classified articles: overview, tinted articles, filters, download."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from pipeline.classify import Model, Result
from pipeline.page import Look, json_block, looks, render
from pipeline.page_articles import MOST_TERMS, Article, Example, PageData, article, source_of, strongest
from pipeline.records import Failure

if TYPE_CHECKING:
    from pipeline.reasons import Reasoner

#: A chart by day has no more columns than this, one by month no more than the second; then it is by year.
_MOST_DAYS, _MOST_MONTHS = 45, 48


@dataclass(frozen=True, slots=True)
class Row:
    """A row or column of the overview: its name, its units by label, and the number of an article."""

    name: str
    counts: tuple[int, ...]
    number: int = 0

    @property
    def total(self) -> int:
        """All units."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class Report:
    """What the report's template shows; tuples by label are in the order of the labels."""

    articles: list[Article]
    units: int
    uncertain: int
    counts: tuple[int, ...]
    doubts: tuple[int, ...]
    times: list[Row]
    step: str
    undated: int
    sources: list[Row]
    documents: list[Row]
    strongest: list[list[Example]]


def report_page(
    results: Iterable[Result | Failure],
    model: Model,
    *,
    title: str = "Diplomatic news by function",
    created: str,
    reasoner: Reasoner | None = None,
    definitions: Mapping[str, str] | None = None,
    letters: Mapping[str, str] | None = None,
) -> str:
    """The HTML of a report. Everything that comes from an article is escaped; no script but the page's own can run.

    Parameters
    ----------
    results : iterable of Result and Failure
        As ``Model.classify_documents`` gives them; all are held in memory until the page is written.
    model : Model
    title : str
        Heading of the page.
    created : str
        Date or time, as the page says it.
    reasoner : Reasoner, optional
        Gives the explanations in the details of each sentence; without one there are none.
    definitions, letters : mapping, optional
        What each label means, and its letter, as ``corpus.load_labels`` reads them.
    """
    shown = looks(model.info.labels, model.info.corpus.get("colours", {}), letters)
    data = PageData(list(model.info.labels))
    pairs: list[tuple[Article, Result]] = []
    failures: list[str] = []
    for result in results:
        if isinstance(result, Failure):
            failures.append(str(result))
            continue
        one = article(len(pairs), result, shown, source_of(result))
        data.add(one, result, reasoner.of_result(result, most=MOST_TERMS) if reasoner else ())
        pairs.append((one, result))
    return render(
        "report.html.j2",
        styles=["base.css", "report.css"],
        scripts=["units.js", "report.js"],
        shown=shown,
        report=overview(pairs, shown),
        title=title,
        created=created,
        model=model.info.id,
        failures=failures,
        definitions=definitions or {},
        data=json_block(data.units_block()),
        why=json_block(data.why_block()),
    )


def overview(pairs: Sequence[tuple[Article, Result]], shown: Sequence[Look]) -> Report:
    """Counts, shares and the strongest sentences of some articles."""
    articles = [one for one, _ in pairs]
    doubts = [0] * len(shown)
    number = {look.name: place for place, look in enumerate(shown)}
    for _, result in pairs:
        for prediction in result.predictions:
            doubts[number[prediction.label]] += prediction.uncertain
    counts = _sum([one.counts for one in articles], len(shown))
    dated = [(day, one.counts) for one in articles if (day := parsed_date(one.date)) is not None]
    times, step = by_time(dated)
    sources: dict[str, list[tuple[int, ...]]] = {}
    for one in articles:
        sources.setdefault(one.source, []).append(one.counts)
    return Report(
        articles=articles,
        units=sum(counts),
        uncertain=sum(doubts),
        counts=counts,
        doubts=tuple(doubts),
        times=times,
        step=step,
        undated=len(articles) - len(dated),
        sources=[Row(name, _sum(rows, len(shown))) for name, rows in sorted(sources.items())],
        documents=[Row(one.title, one.counts, one.number) for one in articles],
        strongest=strongest(pairs, shown),
    )


def _sum(rows: Sequence[tuple[int, ...]], width: int) -> tuple[int, ...]:
    return tuple(sum(row[column] for row in rows) for column in range(width))


def parsed_date(text: str) -> date | None:
    """The day that a date in ISO 8601 begins with; a month or a year counts from its first day."""
    head = text.strip()[:10]
    for tail in ("", "-01", "-01-01"):
        try:
            return date.fromisoformat(head + tail)
        except ValueError:
            continue
    return None


def by_time(dated: Sequence[tuple[date, tuple[int, ...]]]) -> tuple[list[Row], str]:
    """Counts by day, month or year, without gaps, and which it is; nothing where all is of one day."""
    if len({day for day, _ in dated}) < 2:
        return [], ""
    first, last = min(day for day, _ in dated), max(day for day, _ in dated)
    months = (last.year - first.year) * 12 + last.month - first.month + 1
    if (last - first).days < _MOST_DAYS:
        step = "day"
        names = [date.fromordinal(day).isoformat() for day in range(first.toordinal(), last.toordinal() + 1)]
    elif months <= _MOST_MONTHS:
        step = "month"
        places = [(first.year * 12 + first.month - 1 + after) for after in range(months)]
        names = [f"{place // 12:04}-{place % 12 + 1:02}" for place in places]
    else:
        step = "year"
        names = [f"{year:04}" for year in range(first.year, last.year + 1)]
    length = {"day": 10, "month": 7, "year": 4}[step]
    found: dict[str, list[tuple[int, ...]]] = {name: [] for name in names}
    for day, counts in dated:
        found[day.isoformat()[:length]].append(counts)
    return [Row(name, _sum(rows, len(dated[0][1]))) for name, rows in found.items()], step
