"""`titleholder backtest`: what other settings of a use case would have done."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from titleholder.output import AsJson, UseCaseName, console, parse_day, print_json, show

Policies = Annotated[
    list[Path] | None,
    typer.Option("--policy", help="YAML file of the same use case with other settings. May be repeated."),
]


def register(app: typer.Typer) -> None:
    """Add the command to an application."""
    app.command()(backtest)


def backtest(  # noqa: PLR0913  # each is an option of the command
    use_case: UseCaseName,
    *,
    start: Annotated[str, typer.Option("--from", help="First day to decide about, YYYY-MM-DD.")],
    end: Annotated[str, typer.Option("--to", help="The day after the last day.")],
    policy: Policies = None,
    alone: Annotated[bool, typer.Option("--alone", help="Leave out: never retrain, and retrain every week.")] = False,
    world: Annotated[str, typer.Option(help="Replay a generated world, not the use case's files; 'list' shows all.")] = "",
    seed: Annotated[int, typer.Option(help="Of the world.", min=0)] = 7,
    window_days: Annotated[int | None, typer.Option(help="Days of a window; default: the schedule's windows.", min=1)] = None,
    history_days: Annotated[
        int | None,
        typer.Option(help="Days before that are only ingested; default: what a first training needs.", min=0),
    ] = None,
    answer_days: Annotated[float, typer.Option(help="How long a person takes to answer a review.", min=0)] = 1.0,
    folder: Annotated[Path | None, typer.Option(help="Folder of the backtest; the same folder goes on.")] = None,
    track: Annotated[bool, typer.Option("--track", help="Log the report as a run in this installation's MLflow, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Replay past or generated windows with a simulated clock, and compare policies. Changes nothing of this installation."""
    from tasks import backtest as engine
    from tasks.io import isolated_process
    from tasks.settings import get_settings
    from tasks.stages.ingestion.worlds import WORLDS, make_world

    first = parse_day(start)
    if world == "list":
        show("Worlds", [{"world": name, "meaning": make_world(name, first, seed).meaning} for name in WORLDS], as_json)
        return
    options = engine.Options(
        others=policy or [],
        is_alone=alone,
        world=world,
        seed=seed,
        window_days=window_days,
        history_days=history_days,
        answer_days=answer_days,
    )
    plan, texts = engine.make_plan(use_case, first, parse_day(end), options)
    place = folder or engine.default_folder(plan)
    uri = get_settings().mlflow_tracking_uri if track else ""
    done = engine.run_backtest(
        place,
        plan,
        texts,
        endpoint_command=isolated_process.command("serving.standalone"),
        tell=(lambda _: None) if as_json else tell_progress,
        tracking_uri=uri,
    )
    document = json.loads(done.document.read_text())
    if as_json:
        print_json(document)
        return
    console.print(document["conclusion"], style="bold", highlight=False)
    show(f"Backtest of {use_case}, {start} to {end}", engine.as_table(document))
    console.print(f"The whole report: {done.page}", highlight=False, soft_wrap=True)


def tell_progress(line: Mapping[str, Any]) -> None:
    """Show one window: its place, the decision, the champion, and the estimated time left of this policy."""
    champion = "no champion" if line["champion"] is None else f"champion {line['champion']}"
    left = line["seconds_left"]
    remaining = f"{left / 60:.0f} min" if left >= 90 else f"{left:.0f} s"
    console.print(
        f"  {line['policy']:<14} {line['place']:>4}/{line['windows']}  {line['window']}  {line['decision']:<12} "
        f"{champion}, about {remaining} left",
        highlight=False,
    )
