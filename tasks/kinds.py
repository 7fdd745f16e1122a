"""The base of everything pluggable: sources, models, gates and drift checks are frozen specs told apart by `kind`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from tasks.errors import ConfigurationError


class Spec(BaseModel):
    """A pluggable part: its fields are its parameters in the YAML, its methods do the work.

    To add one: a class with `kind: Literal["its_name"] = "its_name"` in its room, and its entry in the room's tuple of
    kinds. Heavy libraries are imported inside methods, because the scheduler parses the YAML every minute.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())
    kind: str


class KindRegistry:
    """The kinds that one room has, looked up by name with an answer that lists what is allowed."""

    def __init__(self, what: str, *kinds: type[Spec]) -> None:
        self.what = what
        self.kinds: dict[str, type[Spec]] = {kind.model_fields["kind"].default: kind for kind in kinds}

    def parse(self, entry: Any, where: str) -> Any:
        """One YAML entry -> its spec.

        Raises
        ------
        ConfigurationError : unknown kind or key, wrong value; names `where`, what is allowed and what came.
        """
        from pydantic import ValidationError

        if not isinstance(entry, dict) or "kind" not in entry:
            raise ConfigurationError(f"{where}: a {self.what} is a mapping with a 'kind' ({self._allowed}); got {entry!r}")
        kind = entry["kind"]
        if kind not in self.kinds:
            raise ConfigurationError(f"{where}.kind: no {self.what} of kind {kind!r}; allowed: {self._allowed}")
        try:
            return self.kinds[kind].model_validate(entry)
        except ValidationError as error:
            raise ConfigurationError(explain(error, self.kinds[kind], where)) from error

    @property
    def _allowed(self) -> str:
        return ", ".join(sorted(self.kinds))


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
            came = (
                f"; got {fault['input']!r}" if fault["loc"] else ""
            )  # not the whole document, where parts do not fit together
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
