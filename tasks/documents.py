"""YAML documents that people write: use cases and suites. What cannot be read is a ConfigurationError of its file."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from tasks.errors import ConfigurationError

LARGEST = 1_000_000  # bytes of one file
DEEPEST = 100  # levels of lists and mappings


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which also refuses repeated keys, deep nesting and references.

    PyYAML takes the last one of repeated keys. References (`*name`) can make a small file very large.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML's stubs lack it
            raise yaml.MarkedYAMLError(problem=f"references such as *{event.anchor} are refused", problem_mark=event.start_mark)
        self._depth += 1
        if self._depth > DEEPEST:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # the same
            raise yaml.MarkedYAMLError(problem=f"nested more than {DEEPEST} levels deep", problem_mark=mark)
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if not isinstance(name, Hashable):
                raise yaml.MarkedYAMLError(problem=f"expected text as a key, got {name!r}", problem_mark=key.start_mark)
            if name in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {name!r} is repeated", problem_mark=key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


def read_text(path: Path) -> str:
    """The text of a file.

    Raises
    ------
    ConfigurationError : it cannot be opened, is larger than `LARGEST`, or is not UTF-8.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > LARGEST:
        raise ConfigurationError(f"{path}: expected at most {LARGEST} bytes, got {len(content)}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, byte = content.count(b"\n", 0, error.start) + 1, content[error.start]
        raise ConfigurationError(
            f"{path}: line {line}: expected UTF-8, got byte 0x{byte:02x}; save the file as UTF-8"
        ) from error


def parse_document(text: str, where: str) -> dict[str, Any]:
    """The mapping of a YAML text.

    Parameters
    ----------
    where : begins each message, such as the name of the file.

    Raises
    ------
    ConfigurationError : it is no YAML or no mapping, a key is repeated, or a value is none, such as the day 2026-02-30.
    """
    try:
        document = yaml.load(text, _Loader)  # noqa: S506  # a subclass of the safe loader
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{where}: not YAML: {error}") from error
    except Exception as error:  # PyYAML's own readers of dates, numbers and tags raise errors of many kinds
        raise ConfigurationError(f"{where}: a value cannot be read: {error}; put text in quotes") from error
    if not isinstance(document, dict):
        raise ConfigurationError(f"{where}: expected a mapping of keys, got {type(document).__name__}")
    return document


def write_in_one_line(value: Any) -> str:
    """A value in the syntax of YAML, in one line."""
    return yaml.safe_dump([value], default_flow_style=True, sort_keys=False, width=100_000, allow_unicode=True)[1:-2]
