"""Who may ask the endpoint, and who is to be forgotten: `titleholder api-key` and `titleholder forget-user`."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from tasks.errors import ConfigurationError
from tasks.io.api_keys import ApiKeys, Scope
from tasks.settings import get_settings

console = Console()


class KeyAction(StrEnum):
    CREATE = "create"
    LIST = "list"
    REVOKE = "revoke"


def register(app: typer.Typer) -> None:
    """Add these commands to the `titleholder` command."""
    app.command("api-key")(api_key)
    app.command("forget-user")(forget_user)


def api_key(
    action: Annotated[KeyAction, typer.Argument(help="What to do.")],
    name: Annotated[str, typer.Argument(help="create: whose key it is; revoke: its id.")] = "",
    scope: Annotated[list[Scope] | None, typer.Option(help="What it opens; may be given several times.")] = None,
) -> None:
    """Make, list and revoke the keys that open the endpoint. A new key is shown once; only its hash is kept."""
    keys, now = ApiKeys(get_settings().ledger_url), datetime.now(UTC)
    if action is KeyAction.CREATE:
        key, made = keys.create(name, frozenset(scope or [Scope.PREDICT]), now)
        typer.echo(key)  # alone on the standard output, so that a script can take it
        typer.echo(f"Key {made.key_id} opens {', '.join(sorted(made.scopes))}. It is not shown again.", err=True)
    elif action is KeyAction.REVOKE:
        keys.revoke(name, now)
        console.print(f"key {escape(name)} is revoked; the endpoint refuses it within seconds", highlight=False)
    else:
        for one in keys.all():
            state = f"revoked {one.revoked_at:%Y-%m-%d %H:%M}" if one.revoked_at else "open"
            scopes = ",".join(sorted(one.scopes))
            console.print(f"{one.key_id}  {one.made_at:%Y-%m-%d %H:%M}  {state}  {scopes}  {escape(one.name)}", highlight=False)


def forget_user(
    use_case: Annotated[str, typer.Argument(help="Name of the use case.")],
    user_id: Annotated[str, typer.Argument(help="Whom to forget.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only say what would be done.")] = False,
) -> None:
    """Erase a person from the prediction log, the events and the outcomes. It cannot be undone."""
    from tasks.io.events import EventStore
    from tasks.io.prediction_log import PredictionLog

    settings = get_settings()
    log, events = PredictionLog(settings.predictions_root), EventStore(settings.events_url)
    predictions = [one.prediction_id for one in log.read(use_case) if one.subject == user_id]
    if not yes:
        raise ConfigurationError(
            f"{use_case}: {len(predictions)} predictions were made for {user_id!r}; they, their outcomes and the user's events "
            "would be erased for good. Say --yes to do it."
        )
    gone = events.forget(use_case, user_id, predictions)
    erased = log.forget(use_case, user_id, datetime.now(UTC))
    console.print(f"erased: {erased} predictions, {gone} events and outcomes", highlight=False)
    console.print(
        "Journals that a running endpoint still writes are read without the user from now on, and sealed without them within "
        f"minutes. Snapshots under {settings.data_root} are immutable and keep what the sources said, as do extracts of these "
        "logs in folders of sources: remove the person there and at the source, if you must, and build the features again.",
        highlight=False,
        soft_wrap=True,
    )
