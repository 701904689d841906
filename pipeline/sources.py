"""Sources as a user names them to the paths to read: each file once, in order, found lazily."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from pipeline.compressed import PACKINGS
from pipeline.decoding import shown
from pipeline.records import Failure

TEXT = (".txt", ".text", ".md", ".markdown")
PAGES = (".html", ".htm")
JSON_LINES = (".jsonl", ".ndjson")
CSV = (".csv",)
PARQUET = (".parquet",)
ZIP = (".zip",)
SUFFIXES: tuple[str, ...] = (*TEXT, *PAGES, *JSON_LINES, *CSV, *PARQUET, *ZIP)
#: All endings of names that are read: those of text also with that of a compression behind.
ENDINGS = (*SUFFIXES, *(text + packing for text in (*TEXT, *PAGES, *JSON_LINES, *CSV) for packing in PACKINGS))
#: The source that is standard input.
STDIN = "-"

_ALLOWED = f"read are {' '.join(SUFFIXES)}, and text packed as {' or '.join(PACKINGS)}"


class Found(NamedTuple):
    """A path to read, or ``-``; ``listed`` where a folder's listing has just named it."""

    path: str
    listed: bool = False


class _Entry(NamedTuple):
    """A member of a folder: its path as named, and the path behind all symbolic links."""

    path: str
    real: str
    is_folder: bool
    is_link: bool


def find(sources: Iterable[str | os.PathLike[str]]) -> Iterator[Found | Failure]:
    """The files that files, folders, glob patterns and ``-`` stand for, each once and in their order.

    Folders are walked by name, without hidden and unsupported files; a loop of symbolic links ends. A
    missing file is Found: whoever opens it says so.
    """
    search = _Search()
    for source in sources:
        yield from search.source(os.fsdecode(source))


class _Search:
    """What has been found already, so that nothing is read or said twice.

    Memory grows with the folders and the directly named files, not with the files in folders: a folder
    never lists a file twice, so for those the folder's own path is enough.
    """

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._unlisted: set[str] = set()

    def source(self, path: str) -> Iterator[Found | Failure]:
        if path == STDIN:
            if self._new(STDIN):
                yield Found(STDIN)
        elif not path or "\0" in path:
            yield Failure(shown(path), "no path: the name is empty or holds a NUL character")
        elif glob.has_magic(path) and not os.path.lexists(path):
            if self._new(path):
                yield from self._pattern(path)
        else:
            yield from self._path(path)

    def _path(self, path: str) -> Iterator[Found | Failure]:
        if os.path.isdir(path):
            yield from self._folder(path)
        elif self._new(path):
            if os.path.isfile(path) and not supported(path):
                yield Failure(printable(path), unsupported(path))
            else:
                yield Found(path)

    def _new(self, path: str) -> bool:
        """Whether the file has not been read, nor is a folder's walk bound to read it."""
        real = os.path.realpath(path) if path != STDIN else path
        folder, name = os.path.split(real)
        walked = (
            folder in self._folders
            and folder not in self._unlisted
            and supported(name)
            and not name.startswith(".")
            and os.path.exists(real)
        )
        if walked or real in self._files:
            return False
        self._files.add(real)
        return True

    def _pattern(self, pattern: str) -> Iterator[Found | Failure]:
        try:
            matches = sorted(_matches(pattern))
        except (OSError, ValueError, NotImplementedError) as error:
            yield Failure(shown(pattern), f"not a usable pattern: {error}")
            return
        usable = [path for path in matches if supported(path) or os.path.isdir(path)]
        if not usable:
            found = f"{len(matches)} files match, but none that can be read; {_ALLOWED}"
            yield Failure(shown(pattern), found if matches else "no file matches this pattern")
        for path in usable:
            yield from self._path(path)

    def _folder(self, top: str) -> Iterator[Found | Failure]:
        """Walk a folder in the order of its names, without recursion, and each real folder once."""
        root = _Entry(top, os.path.realpath(top), is_folder=True, is_link=False)
        if root.real in self._folders:
            return
        mine: set[str] = set()
        found = False
        stack: list[Iterator[_Entry]] = [iter([root])]
        while stack:
            if (entry := next(stack[-1], None)) is None:
                stack.pop()
            elif not entry.is_folder:
                found = True
                if self._new(entry.path) if entry.is_link else entry.real not in self._files:
                    yield Found(entry.path, listed=True)
            elif entry.real in self._folders:
                found = found or entry.real not in mine
            else:
                mine.add(entry.real)
                self._folders.add(entry.real)
                try:
                    stack.append(_listing(entry))
                except OSError as error:
                    found = True
                    self._unlisted.add(entry.real)
                    yield Failure(printable(entry.path), unreadable(error))
        if not found:
            yield Failure(printable(top), f"the folder holds no file that can be read; {_ALLOWED}")


def supported(path: str) -> bool:
    """Whether the name ends as a file does that can be read, in capitals or not."""
    return path.lower().endswith(ENDINGS)


def ending(path: str) -> tuple[str, str]:
    """The ending of a name in small letters, and that of its compression: ``(".txt", ".gz")`` of ``A.TXT.GZ``.

    The second is empty where it is not compressed.
    """
    stem, last = os.path.splitext(path.lower())
    return (os.path.splitext(stem)[1], last) if last in PACKINGS else (last, "")


def _listing(folder: _Entry) -> Iterator[_Entry]:
    """The folders and supported files of a folder, sorted by name; hidden ones are passed over.

    Listed at once, so that an OSError comes here; of plain files no more than the names is kept.
    """
    names: list[str] = []
    others: dict[str, tuple[bool, bool]] = {}
    with os.scandir(folder.path) as members:
        for member in members:
            if member.name.startswith("."):
                continue
            is_link = member.is_symlink()
            # DirEntry.is_dir raises on a link to itself; os.path.isdir only says no
            is_folder = os.path.isdir(member.path) if is_link else member.is_dir()
            if is_folder or supported(member.name):
                names.append(member.name)
                if is_folder or is_link:
                    others[member.name] = is_folder, is_link
    names.sort()
    return (_entry(folder, name, *others.get(name, (False, False))) for name in names)


def _entry(folder: _Entry, name: str, is_folder: bool, is_link: bool) -> _Entry:
    path = os.path.join(folder.path, name)
    real = os.path.realpath(path) if is_link else os.path.join(folder.real, name)
    return _Entry(path, real, is_folder, is_link)


def _matches(pattern: str) -> Iterator[str]:
    """Paths that match; ``**`` follows no symbolic link (a loop would never end), ``*`` nothing hidden."""
    parts = Path(pattern).parts
    fixed = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    base = Path(*parts[:fixed])
    wants_hidden = any(part.startswith(".") for part in parts[fixed:])
    for match in base.glob(os.path.join(*parts[fixed:])):
        if wants_hidden or not any(part.startswith(".") for part in match.relative_to(base).parts):
            yield os.fspath(match)


def unsupported(path: str) -> str:
    """What to say of a file whose name does not end as it should."""
    suffix = shown(Path(path).suffix)
    found = f"files that end in '{suffix}' are not read" if suffix else "the file name has no ending"
    return f"{found}; {_ALLOWED} (convert it to text, or send plain text to '-')"


def printable(path: str) -> str:
    """A path as ids and messages show it: with forward slashes, on one line, in any encoding."""
    return shown(Path(path).as_posix())


def unreadable(error: OSError) -> str:
    """What to say of a file or folder that the system refuses."""
    return f"cannot be read: {reason(error)}"


def reason(error: OSError) -> str:
    """The system's own words for an error."""
    return (error.strerror or type(error).__name__).lower()
