"""`titleholder api-key` and `titleholder forget-user`: access to the endpoint, and the erasure of a user."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from tasks import clock
from tasks.errors import ConfigurationError
from tasks.io.api_keys import ApiKeys, Scope
from tasks.settings import get_settings
from tasks.use_case import load_use_case
from titleholder.output import console, make_plain


class KeyAction(StrEnum):
    CREATE = "create"
    LIST = "list"
    REVOKE = "revoke"


def register(app: typer.Typer) -> None:
    """Add these commands to the `titleholder` command."""
    app.command("api-key")(api_key)
    app.command("forget-user")(forget_user)


def api_key(
    action: Annotated[KeyAction, typer.Argument(help="What to do with a key.")],
    name: Annotated[str, typer.Argument(help="create: the name of its holder; revoke: the id of the key.")] = "",
    scope: Annotated[list[Scope] | None, typer.Option(help="What the key permits; repeatable, default: predict.")] = None,
) -> None:
    """Create, list and revoke keys of the endpoint. A new key is printed once; only its hash is stored."""
    keys, now = ApiKeys(get_settings().ledger_url), clock.now()
    if action is KeyAction.CREATE:
        key, made = keys.create(name, frozenset(scope or [Scope.PREDICT]), now)
        typer.echo(key)  # alone on the standard output, so that a script can take it
        typer.echo(f"Key {made.key_id} permits {', '.join(sorted(made.scopes))}. It is not printed again.", err=True)
    elif action is KeyAction.REVOKE:
        keys.revoke(name, now)
        console.print(make_plain(f"key {name} is revoked; the endpoint refuses it within seconds"), highlight=False)
    else:
        for one in keys.all():
            state = f"revoked {one.revoked_at:%Y-%m-%d %H:%M}" if one.revoked_at else "active"
            scopes = ",".join(sorted(one.scopes))
            console.print(
                make_plain(f"{one.key_id}  {one.made_at:%Y-%m-%d %H:%M}  {state}  {scopes}  {one.name}"), highlight=False
            )


def forget_user(
    use_case: Annotated[str, typer.Argument(help="Name of the use case.")],
    user_id: Annotated[str, typer.Argument(help="Id of the user to erase.")],
    yes: Annotated[bool, typer.Option("--yes", help="Erase. Without it, only report what would be erased.")] = False,
) -> None:
    """Erase a user from the prediction log, the events and the outcomes. This cannot be undone."""
    from tasks.io.events import EventStore
    from tasks.io.prediction_log import PredictionLog

    settings = get_settings()
    root = settings.predictions_root
    if use_case not in ([path.name for path in root.iterdir()] if root.is_dir() else []):  # it has answered nobody
        load_use_case(use_case)
    log, events = PredictionLog(root), EventStore(settings.events_url)
    predictions = [one.prediction_id for one in log.read(use_case) if one.subject == user_id]
    if not yes:
        raise ConfigurationError(
            f"{use_case}: the prediction log holds {len(predictions)} predictions for {user_id!r}. They, their outcomes and "
            "the user's events would be erased for good. Repeat the command with --yes to erase them."
        )
    gone = events.forget(use_case, user_id, predictions)
    erased = log.forget(use_case, user_id, clock.now())
    console.print(f"erased: {erased} predictions, {gone} events and outcomes", highlight=False)
    console.print(
        "Journals that a running endpoint still writes are read without the user from now on, and sealed without the user "
        f"within minutes. Snapshots under {settings.data_root} are immutable and keep the rows of the sources, and so do "
        "extracts of these logs in source folders: if you must, remove the user there and rebuild the features.",
        highlight=False,
        soft_wrap=True,
    )
