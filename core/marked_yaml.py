"""YAML that people write, read strictly: every value knows its line, and what is ambiguous is refused.

A key that stands twice is an error, where YAML libraries take the last one silently. Aliases are followed, up to a
bound, so that a small file cannot become a huge one. No message repeats a value: it may be a secret that does not
belong there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from core.errors import ConfigurationError

_LARGEST = 1_000_000  # bytes
_MOST = 20_000  # values, each counted as often as aliases repeat it
_DEEPEST = 20

Location = tuple[str | int, ...]
"""Where a value stands: the keys, and the positions in lists, that lead to it."""


class WrongFile(ConfigurationError):
    """A file that says what cannot be; the message begins with the line and the column."""


@dataclass(frozen=True)
class MarkedFile:
    """What a file says, and the line and column of each of its values, both counted from one."""

    path: Path
    value: Any = field(repr=False)
    marks: Mapping[Location, tuple[int, int]] = field(repr=False)

    def wrong(self, where: Location, reason: str, hint: str = "") -> WrongFile:
        """The error that something is wrong with a value, or with the nearest one around it that stands in the file."""
        known = next((where[:size] for size in range(len(where), 0, -1) if where[:size] in self.marks), ())
        subject = f"{'.'.join(map(str, where))}: " if where else ""
        return _wrong(self.path, *self.marks.get(known, (1, 1)), f"{subject}{reason}", hint)


def read(path: Path) -> MarkedFile:
    """Read a file. Raises WrongFile for what is no YAML, ConfigurationError for what cannot be read."""
    text = _text(path)
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        reader = _Reader(path, loader)
        return MarkedFile(path, reader.value(node, ()) if node else None, reader.marks)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _wrong(path, line, 1, "there is a character that YAML does not allow") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise _wrong(path, *at, _reason(error)) from None
    except RecursionError:
        raise _wrong(path, 1, 1, f"it is nested deeper than {_DEEPEST} levels") from None
    finally:
        if loader is not None:
            loader.dispose()


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise _wrong(path, 1, 1, f"it is larger than {_LARGEST:,} bytes")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}", hint="name a file of YAML") from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _wrong(path, line, 1, "it is not text in UTF-8") from None


def _reason(error: yaml.MarkedYAMLError) -> str:
    """In words that quote nothing. What the scanner and the parser quote are single characters and their own terms."""
    problem = error.problem or ""
    if "single document" in (error.context or ""):
        return "a second document begins here; there may be only one"
    quotes_nothing = isinstance(error, yaml.scanner.ScannerError) or (
        isinstance(error, yaml.parser.ParserError) and "handle" not in problem
    )
    return f"this is not YAML: {problem}" if quotes_nothing else "this alias, anchor or tag cannot be used"


def _wrong(path: Path, line: int, column: int, reason: str, hint: str = "") -> WrongFile:
    return WrongFile(f"{path.name}, line {line}, column {column}: {reason}", hint=hint)


class _Reader:
    """Turns the nodes of one document into values, and notes where each of them stands."""

    def __init__(self, path: Path, loader: yaml.SafeLoader) -> None:
        self.marks: dict[Location, tuple[int, int]] = {}
        self._path, self._loader, self._left = path, loader, _MOST

    def value(self, node: yaml.Node, where: Location) -> Any:
        self._left -= 1
        if self._left < 0 or len(where) > _DEEPEST:
            raise self._refused(node, "aliases or nesting make more of this file than can be taken")
        self.marks.setdefault(where, _at(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, where)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(one, (*where, number)) for number, one in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, where: Location) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise self._refused(key, "<< is not understood here", hint="write out what it would bring")
            if key.tag != "tag:yaml.org,2002:str":
                raise self._refused(key, "this key is not text", hint="put it in quotes if it is a name")
            if key.value in found:
                line = self.marks[(*where, key.value)][0]
                raise self._refused(key, f"this key stands already in line {line}", hint="keep one of the two")
            self.marks[(*where, key.value)] = _at(key)
            found[key.value] = self.value(value, (*where, key.value))
        return found

    def _scalar(self, node: yaml.Node) -> Any:
        try:
            return self._loader.construct_object(node)
        except ValueError:  # such as a date with a month 13
            raise self._refused(node, "this value cannot be read", hint="put it in quotes if it is text") from None

    def _refused(self, node: yaml.Node, reason: str, hint: str = "") -> WrongFile:
        return _wrong(self._path, *_at(node), reason, hint)


def _at(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1
