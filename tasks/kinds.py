"""The base of everything pluggable: sources, models, gates and drift checks are frozen specs, identified by `kind`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, ClassVar, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.errors import ConfigurationError


class Spec(BaseModel):
    """A pluggable part: its fields are its settings in the YAML, its methods do the work.

    To add one: a class with `kind: Literal["its_name"] = "its_name"`, and its line in the registry of its kinds. Import
    heavy libraries inside methods, because the scheduler parses the YAML every minute.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())
    renamed: ClassVar[Mapping[str, str]] = {}  # former name of a setting -> its name; the former one is refused with a hint
    kind: str


S = TypeVar("S", bound=Spec)


class KindRegistry(Generic[S]):
    """The kinds of one pluggable part: kind -> class, with messages that list what is allowed."""

    def __init__(self, what: str, *kinds: type[S]) -> None:
        self.what = what
        self.kinds: dict[str, type[S]] = {_kind_of(kind): kind for kind in kinds}

    @classmethod
    def of_modules(cls, what: str, base: type[S], package: str, modules: Iterable[str]) -> Self:
        """All kinds that the named modules of a package define: subclasses of `base` whose `kind` has a value."""
        found = (vars(import_module(f"{package}.{module}")) for module in modules)
        return cls(what, *(one for names in found for one in defined_kinds(names, base)))

    def parse(self, entry: Any, where: str) -> S:
        """One YAML entry -> its spec.

        Raises
        ------
        ConfigurationError : unknown kind or setting, wrong value; names `where`, what is allowed and what came.
        """
        if not isinstance(entry, dict) or "kind" not in entry:
            raise ConfigurationError(f"{where}: a {self.what} is a mapping with a 'kind' ({self._allowed}); got {entry!r}")
        kind = entry["kind"]
        if not isinstance(kind, str) or kind not in self.kinds:
            raise ConfigurationError(f"{where}.kind: no {self.what} of kind {kind!r}; allowed: {self._allowed}")
        spec = self.kinds[kind]
        for former in spec.renamed:
            if former in entry:
                raise ConfigurationError(f"{where}.{former}: this setting of '{kind}' is now called '{spec.renamed[former]}'")
        try:
            return spec.model_validate(entry)
        except ValidationError as error:
            raise ConfigurationError(explain(error, spec, where)) from error

    @property
    def _allowed(self) -> str:
        return ", ".join(sorted(self.kinds))


def defined_kinds(names: Mapping[str, Any], base: type[S]) -> list[type[S]]:
    """The classes that one module defines itself (not those that it imports), in its order."""
    own = (value for value in names.values() if isinstance(value, type) and value.__module__ == names["__name__"])
    return [one for one in own if issubclass(one, base) and isinstance(_kind_of(one), str)]


def _kind_of(spec: type[Spec]) -> Any:
    return spec.model_fields["kind"].default


def explain(error: Any, model: type[BaseModel], where: str) -> str:
    """A pydantic error as one line per fault: field, what is allowed, what came."""
    lines = []
    for fault in error.errors():
        field = ".".join([where, *(str(part) for part in fault["loc"])])
        if fault["type"] == "extra_forbidden":
            owner = _owner(model, fault["loc"][:-1])
            lines.append(f"{field}: unknown key; allowed here: {', '.join(sorted(owner.model_fields))}")
        elif fault["type"] == "missing":
            lines.append(f"{field}: missing")
        else:
            came = f"; got {fault['input']!r}" if fault["loc"] else ""  # without a field, the input is the whole document
            lines.append(f"{field}: {fault['msg']}{came}")
    return "\n".join(lines)


def _owner(model: type[BaseModel], path: tuple[Any, ...]) -> type[BaseModel]:
    """The nested model that a path of field names leads to."""
    for part in path:
        field = model.model_fields.get(str(part))
        if field is None:  # a key of a mapping, or a place in a list
            continue
        annotation = field.annotation
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        nested = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
        if nested is None:
            return model
        model = nested
    return model
