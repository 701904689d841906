"""What a skops file from elsewhere may hold: a fixed list of types, in bounded sizes. Nothing is built from it here.

A skops file is a zip archive of ``schema.json``, which names the types to build, and of arrays. skops itself refuses
types that it was not told to trust, but trusts some hundreds by default; a model needs a dozen. Every node of the
schema is therefore compared with :data:`ALLOWED` first, and the archive that skops is given is one written here, of
members whose true sizes are known.
"""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from unicodedata import category

import numpy as np

from pipeline.manifest import MANIFEST_FILE
from pipeline.records import PipelineError

SCHEMA_FILE = "schema.json"
#: Of each kind of node in the schema, the types that it may build. Others are refused, whoever made the file.
ALLOWED: Mapping[str, frozenset[str]] = {
    "DictNode": frozenset({"builtins.dict"}),
    "ListNode": frozenset({"builtins.list"}),
    "TupleNode": frozenset({"builtins.tuple", "pipeline.cues._Shape", "pipeline.encoder.Change"}),
    "JsonNode": frozenset({"builtins.str"}),
    "TypeNode": frozenset({"builtins.str"}),
    "NdArrayNode": frozenset({"numpy.ndarray"}),
    "ObjectNode": frozenset(
        {
            "pipeline.combined.CombinedClassifier",
            "pipeline.cues.CueMatcher",
            "pipeline.encoder.Learnt",
            "pipeline.encoder_base.Base",
            "pipeline.features.UnitFeatures",
            "pipeline.model.TemperatureScaling",
            "pipeline.model.UnitClassifier",
            "sklearn.pipeline.Pipeline",
            "sklearn.svm._classes.LinearSVC",
        }
    ),
}
#: The types that skops has to be told to trust.
TRUSTED = sorted(name for names in ALLOWED.values() for name in names if name.startswith("pipeline."))
#: Bytes of the file, of all that is in it, and of its JSON; members; characters of one string in the schema.
MOST_BYTES, MOST_UNPACKED, MOST_JSON = 2**28, 2**29, 2**24
MOST_MEMBERS, LONGEST_TEXT = 10_000, 1_000
_ARRAY = re.compile(r"\d{1,40}\.npy")
#: What to do about a file that is not one of ours.
ASK = "ask for it as `communique models export` writes it"
#: How many refused types a message names.
_NAMED = 8


@dataclass(frozen=True, slots=True)
class Audited:
    """A skops file whose audit found nothing: its manifest as JSON text, and an archive for skops.

    ``types`` counts what skops will build of it.
    """

    manifest: str
    archive: bytes
    types: Mapping[str, int]


def audit(data: bytes, where: str) -> Audited:
    """Compare a skops file with what a model needs, before anything of it is built.

    Raises
    ------
    PipelineError
        It is no skops file of a communique model, too large, or holds a type that is not in :data:`ALLOWED`.
    """
    members = _members(data, where)
    try:
        schema = json.loads(members[SCHEMA_FILE])
        nodes = list(_nodes(schema))
    except (ValueError, RecursionError) as error:
        raise PipelineError(f"{SCHEMA_FILE} can't be read: {short(error)}", where=where, remedy=ASK) from error
    refused = dict.fromkeys(
        name if loader in ALLOWED else f"{name} by {loader}"
        for loader, name, _ in nodes
        if name not in ALLOWED.get(loader, ())
    )
    if refused:
        shown = ", ".join(short(name) for name in list(refused)[:_NAMED])
        more = f" and {len(refused) - _NAMED} more" if len(refused) > _NAMED else ""
        raise PipelineError(
            f"refused, and nothing of it was opened: it holds what no communique model needs: {shown}{more}",
            where=where,
            remedy="such a file can run code when it is opened; don't open it by other means either",
        )
    faults = [(SCHEMA_FILE, _fault(loader, node, members)) for loader, _, node in nodes]
    faults += [(name, _array_fault(content)) for name, content in members.items() if _ARRAY.fullmatch(name)]
    for name, fault in faults:
        if fault:
            raise PipelineError(f"{name}: {fault}", where=where, remedy=ASK)
    manifest = members[MANIFEST_FILE].decode("utf-8", "replace")
    return Audited(manifest, _archive(members), Counter(name for _, name, _ in nodes))


def short(value: object) -> str:
    """What a stranger's file says, as it may be printed: one short line without control characters."""
    shown = "".join(mark if mark.isprintable() else "?" for mark in str(value))
    return shown if len(shown) <= 100 else shown[:97] + "..."


def odd_text(content: Any) -> bool:
    """Whether parsed JSON holds text that could write on a terminal, or that is longer than any of ours."""
    stack = [content]
    while stack:
        one = stack.pop()
        if isinstance(one, dict):
            stack.extend((*one, *one.values()))
        elif isinstance(one, list):
            stack.extend(one)
        elif isinstance(one, str) and (len(one) > LONGEST_TEXT or any(category(mark)[0] == "C" for mark in one)):
            return True
    return False


def _members(data: bytes, where: str) -> dict[str, bytes]:
    """The members of the archive, read no further than the sizes that they declare, which are bounded."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        raise PipelineError(_no_archive(data), where=where, remedy=ASK)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            found = archive.infolist()
            if fault := _archive_fault(found):
                raise PipelineError(fault, where=where, remedy=ASK)
            members = {}
            for one in found:
                with archive.open(one) as stream:
                    members[one.filename] = stream.read(one.file_size)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, zlib.error) as error:
        raise PipelineError(f"is damaged: {short(error)}", where=where, remedy=ASK) from error
    return members


def _no_archive(data: bytes) -> str:
    if not data:
        return "is empty"
    if data[:1] == b"\x80" or data[:2] in (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda", b"\x1f\x8b"):
        return "looks like a pickle or a joblib file, which can run any code when it is opened, and was not opened"
    return "is no skops file"


def _archive_fault(found: list[zipfile.ZipInfo]) -> str:
    """What is wrong with the list of members; empty where nothing is."""
    names = [one.filename for one in found]
    unknown = [name for name in names if name not in (SCHEMA_FILE, MANIFEST_FILE, "README.md")]
    unknown = [name for name in unknown if not _ARRAY.fullmatch(name)]
    if missing := {SCHEMA_FILE, MANIFEST_FILE} - set(names):
        return f"is no communique model: {', '.join(sorted(missing))} is not in it"
    if unknown or len(set(names)) < len(names):
        return f"holds a member that no communique model has: {short(unknown[0] if unknown else 'one name twice')}"
    if len(names) > MOST_MEMBERS or sum(one.file_size for one in found) > MOST_UNPACKED:
        return f"unpacks to more than {MOST_MEMBERS:,} members or {MOST_UNPACKED // 2**20} MiB, too much for a model"
    if any(one.file_size > MOST_JSON for one in found if not _ARRAY.fullmatch(one.filename)):
        return f"unpacks to more than {MOST_JSON // 2**20} MiB of JSON, too much for a model"
    return ""


def _nodes(schema: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Everything in the schema that skops would take for a node: its loader, the full name of its type, itself."""
    stack = [schema]
    if not isinstance(schema, dict) or "__loader__" not in schema:
        raise ValueError("it describes no object")
    while stack:
        one = stack.pop()
        if isinstance(one, list):
            stack.extend(one)
        elif isinstance(one, dict):
            stack.extend(one.values())
            marks = [one.get(key) for key in ("__loader__", "__module__", "__class__")]
            if all(isinstance(mark, str) for mark in marks):
                yield str(marks[0]), f"{marks[1]}.{marks[2]}", one
            elif any(key in one for key in ("__loader__", "__module__", "__class__")):
                raise ValueError("a node without a loader, module or class")


def _fault(loader: str, node: Mapping[str, Any], members: Mapping[str, bytes]) -> str:
    """What is wrong with a node of an allowed type; empty where nothing is."""
    if loader == "JsonNode" and not (isinstance(node.get("content"), str) and len(node["content"]) <= LONGEST_TEXT):
        return f"a value of more than {LONGEST_TEXT} characters"
    if loader == "NdArrayNode":
        file = node.get("file")
        if node.get("type") != "numpy" or not isinstance(file, str) or not _ARRAY.fullmatch(file):
            return "an array that is not stored as an .npy file"
        if file not in members:
            return f"{file} is not in the file"
    return ""


def _array_fault(data: bytes) -> str:
    """What is wrong with an ``.npy`` file: no plain numbers or strings, or not as many as it says."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            return f"version {version} of the .npy format"
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
    except (ValueError, TypeError, SyntaxError, OverflowError, RecursionError, MemoryError) as error:
        return f"not an .npy file: {short(error)}"
    if dtype.kind not in "biufU" or dtype.shape:
        return f"an array of {short(dtype)}; numbers and strings are allowed"
    if math.prod(shape) * dtype.itemsize != len(data) - stream.tell():
        return "an array that is not as large as its header says"
    return ""


def _archive(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            if name == SCHEMA_FILE or _ARRAY.fullmatch(name):
                archive.writestr(name, content)
    return buffer.getvalue()
