"""The `titleholder` command. Results are tables for people, or JSON with `--json`."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from tasks import clock
from tasks.contracts.promotion import Approval, Decision, LedgerEntry, ReviewRecord, Trust
from tasks.errors import ConfigurationError, TitleholderError
from tasks.io.decisions import DecisionLog
from tasks.io.ledger import Ledger
from tasks.reasons import translated
from tasks.settings import get_settings
from titleholder import access, backtest_command, data_commands, look_command
from titleholder.output import AsJson, UseCaseName, console, errors, make_plain, parse_day, parse_moment, print_json, show

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Operate a Titleholder installation: retraining, promotion, serving and monitoring of models.",
)
app.add_typer(data_commands.data, name="data")
app.add_typer(data_commands.quarantine, name="quarantine")
access.register(app)
backtest_command.register(app)
look_command.register(app)


def main() -> None:
    """Run the command. An error of ours is one message and exit code 1, without a traceback."""
    try:
        with translated("titleholder"):
            app()
    except TitleholderError as error:
        errors.print(
            Text(f"{type(error).__name__}: ", style="red bold") + make_plain(str(error)), highlight=False, soft_wrap=True
        )
        sys.exit(1)


# the whole system


@app.command()
def up() -> None:
    """Start Airflow, MLflow, Spark, the endpoint and the watch on this machine, under a supervisor."""
    from titleholder import services

    settings = get_settings()
    services.start(settings, lambda line: console.print(f"  {line}", highlight=False))
    for service in services.services(settings):
        console.print(f"[green]●[/] {service.name:<9} {service.url}")
    console.print(f"State and logs: {settings.home}. Stop everything with [bold]make down[/].", highlight=False)


@app.command()
def down() -> None:
    """Stop everything that `up` or `demo` left running."""
    from tasks.settings import Settings
    from titleholder import services

    settings = get_settings()
    homes = [settings, settings.model_copy(update={"home": settings.home / "demo"})]
    ended = [one.home for one in homes if isinstance(one, Settings) and services.stop(one, console.print)]
    console.print(f"stopped: {', '.join(map(str, ended))}" if ended else "nothing was running", highlight=False)


@app.command()
def demo(
    data: Annotated[Path | None, typer.Option(help="Folder with daily invoice files; default: generated files.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running at the end.")] = False,
) -> None:
    """Run the whole loop on a system of its own, from raw files to a rollback. Takes about eight minutes."""
    from titleholder.demo import run

    raise typer.Exit(run(data, keep=keep))


@app.command()
def watch(host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1") -> None:
    """Serve the monitoring page, the metrics for Prometheus, and the webhook for Alertmanager."""
    from urllib.parse import urlsplit

    import uvicorn

    from titleholder.watch import create_app

    settings = get_settings()
    if not settings.webhook_token:
        console.print("TITLEHOLDER_WEBHOOK_TOKEN is not set: every alert will be refused", style="yellow")
    uvicorn.run(create_app(settings), host=host, port=urlsplit(settings.watch_url).port or 8100, access_log=False)


@app.command()
def generate(
    folder: Annotated[Path, typer.Argument(help="Folder to write the daily files to.")],
    start: Annotated[str, typer.Option(help="First day, YYYY-MM-DD.")],
    end: Annotated[str, typer.Option(help="The day after the last day.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.")] = 7,
    drift_from: Annotated[str | None, typer.Option(help="First day of a season with other purchases.")] = None,
    dirty_day: Annotated[str | None, typer.Option(help="A day whose file has bad rows.")] = None,
    dirt: Annotated[float, typer.Option(help="Share of bad rows on that day.", min=0.0, max=1.0)] = 0.05,
) -> None:
    """Write daily invoice files like those of the UCI Online Retail data set."""
    from tasks.stages.ingestion.generator import Knobs, generate_invoices

    knobs = Knobs(
        drift_from=parse_day(drift_from) if drift_from else None,
        dirty_day=parse_day(dirty_day) if dirty_day else None,
        dirt=dirt,
    )
    generate_invoices(folder, parse_day(start), parse_day(end), seed, knobs)
    console.print(f"{len(list(folder.glob('*.csv')))} daily files in {folder}", highlight=False)


# reports


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show each use case: its champion, what the endpoint serves, the newest features, and the last decision."""
    from tasks import columns as c
    from tasks.io.endpoint import served_model
    from tasks.io.storage import Storage
    from tasks.use_case import list_use_cases

    settings = get_settings()
    ledger, storage = Ledger(settings.ledger_url), Storage(settings.data_root)
    log = DecisionLog(settings.ledger_url)
    rows = []
    for name in list_use_cases():
        head, newest = ledger.head(name), storage.newest(name, c.FEATURES)
        served = served_model(name, timeout=2) if head else None
        decisions = log.decisions(name)
        rows.append(
            {
                "use_case": name,
                "champion": head.version if head else None,
                "since": head.at.isoformat(timespec="seconds") if head else None,
                "by": head.actor if head else None,
                "endpoint_serves": served["version"] if served else None,
                "features_as_of": newest.partition if newest else None,
                "last_decision": decisions[-1].reason if decisions else None,
            }
        )
    show("Use cases", rows, as_json)


@app.command()
def history(
    use_case: UseCaseName,
    at: Annotated[
        str | None, typer.Option(help="Show the champion at this moment: ISO 8601, UTC without a zone, a day means its start.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the ledger of a use case: champions, approvers and reasons, with the reviews and the retrain decisions."""
    from tasks.use_case import load_use_case

    load_use_case(use_case)
    ledger = Ledger(get_settings().ledger_url)
    if at is not None:
        entry = ledger.champion_at(use_case, parse_moment(at))
        broken = ledger.broken_links(use_case)
        if broken:
            errors.print(f"[red]the chain is broken at entries {broken}: this answer may be wrong[/]")
        show(f"Champion of {use_case} at {at}", [_line(entry)] if entry else [], as_json)
        return
    entries, decisions = ledger.entries(use_case), DecisionLog(get_settings().ledger_url).decisions(use_case)
    broken = ledger.broken_links(use_case)
    decided = [
        {"window": d.window.label, "retrain": "yes" if d.retrain else "no", "cause": d.cause, "reason": d.reason}
        for d in decisions
    ]
    if as_json:
        full = [entry.to_json() for entry in entries]
        reviews = [review.to_json() for review in ledger.reviews(use_case)]
        past = [decision.to_json() for decision in decisions]
        print_json({"ledger": full, "broken_entries": broken, "reviews": reviews, "decisions": past})
        return
    show(f"Ledger of {use_case}", [_line(entry) for entry in entries])
    show("Reviews", [_review_line(review) for review in ledger.reviews(use_case)])
    show("Retrain decisions", decided)
    verdict = f"[red]the chain is broken at entries {broken}[/]" if broken else "[green]the chain of digests is intact[/]"
    console.print(verdict)


@app.command()
def explain(use_case: UseCaseName, prediction_id: str, as_json: AsJson = False) -> None:
    """Trace one prediction to its model, data, code and approver."""
    from tasks.io import tracking
    from tasks.io.prediction_log import PredictionLog
    from tasks.use_case import load_use_case

    load_use_case(use_case)
    settings = get_settings()
    prediction = PredictionLog(settings.predictions_root).find(use_case, prediction_id)
    if prediction is None:
        raise ConfigurationError(
            f"{use_case}: no prediction {prediction_id!r} in {settings.predictions_root}; "
            "expected the prediction_id of a response of the endpoint"
        )
    entries = [entry for entry in Ledger(settings.ledger_url).entries(use_case) if entry.version == prediction.model_version]
    before = [entry for entry in entries if entry.at <= prediction.made_at] or entries
    entry = before[-1] if before else None
    answer = {
        "prediction": prediction.prediction_id,
        "made": prediction.made_at.isoformat(timespec="milliseconds"),
        "channel": prediction.channel,
        "subject": prediction.subject,
        "path": prediction.path,
        "items": ", ".join(prediction.items),
        "scores": ", ".join(f"{score:.4f}" for score in prediction.scores),
        "features": f"{prediction.features_version} as of {prediction.features_as_of}",
        "model_version": prediction.model_version,
        "manifest_digest": prediction.manifest_digest,
        "data_digest": entry.data_digest if entry else None,
        "report_digest": entry.report_digest if entry else None,
        "code_version": entry.code_version if entry else None,
        "approved_by": entry.actor if entry else None,
        "approved_at": entry.at.isoformat(timespec="seconds") if entry else None,
        "reason": entry.reason if entry else None,
        "dag_run": entry.dag_run if entry else None,
        "model_page": tracking.version_page(use_case, prediction.model_version),
    }
    if as_json:
        print_json(answer)
    else:
        show("Prediction", [{"what": key, "value": value} for key, value in answer.items()])


@app.command()
def doctor(
    files: Annotated[bool, typer.Option("--files", help="Check only the use-case files and their suites.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check this machine, the use-case files, the ledger and the services. Exits with 1 if a check fails."""
    from titleholder.doctor import examine

    findings = examine(get_settings(), files_only=files)
    show("Findings", [finding.to_json() for finding in findings], as_json)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


# promotion


@app.command()
def reconcile(
    use_case: Annotated[str | None, typer.Argument(help="Name of the use case; default: all.")] = None,
    as_json: AsJson = False,
) -> None:
    """Restore what was deleted in MLflow and aliases that were moved, if the use case says so, and close interrupted runs."""
    from tasks.io.airflow import AirflowApi
    from tasks.stages.registry import close_interrupted_runs, reconcile_aliases, restore_deleted
    from tasks.use_case import list_use_cases, load_use_case

    settings = get_settings()
    ledger, airflow, now = Ledger(settings.ledger_url), AirflowApi(settings), clock.now()
    found = []
    for name in [use_case] if use_case else list_use_cases():
        policy = load_use_case(name).registry
        lines = restore_deleted(name, ledger, policy.restore_deleted)
        lines += reconcile_aliases(name, ledger, policy.restore_aliases, now)
        lines += close_interrupted_runs(name, now, policy.close_runs_after_hours, airflow.is_over)
        found += [{"use_case": name, "found": line} for line in lines]
    show("Found", found, as_json)


@app.command()
def promote(
    use_case: UseCaseName,
    version: Annotated[int, typer.Argument(help="A version that passed its gates.", min=1)],
    reason: Annotated[str, typer.Option(help="The reason, recorded in the ledger.")],
    actor: Annotated[str, typer.Option(help="Who decides, recorded in the ledger; default: the user of this shell.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make a version that passed its gates the champion."""
    from tasks.stages.registry import promote as promote_version
    from tasks.stages.registry import version_of
    from tasks.use_case import load_use_case

    load_use_case(use_case)
    ledger = Ledger(get_settings().ledger_url)
    approval = Approval(
        use_case=use_case,
        version=version,
        report_digest=version_of(use_case, version).report_digest,
        actor=actor or getpass.getuser(),
        reason=reason,
        trust=Trust.LOCAL,
    )
    entry = promote_version(approval, "titleholder promote", ledger)
    show("Champion", [_line(entry)], as_json)


@app.command()
def approve(
    use_case: UseCaseName,
    version: Annotated[int, typer.Argument(help="The version that you reviewed.", min=1)],
    reason: Annotated[str, typer.Option(help="The reason, recorded in the ledger.")],
    reject: Annotated[bool, typer.Option("--reject", help="Reject the version.")] = False,
    override: Annotated[bool, typer.Option("--override", help="Approve despite a failed gate.")] = False,
    key: Annotated[
        Path | None, typer.Option(help="File of your private key; default: the only key in ~/.config/titleholder.")
    ] = None,
    send: Annotated[bool, typer.Option("--submit", help="Also set the tag in MLflow.")] = False,
) -> None:
    """Sign your decision on a version. Prints a code for the tag `review` of the version in MLflow."""
    from titleholder.review import make_code, submit

    decision = Decision.REJECTED if reject else Decision.APPROVED
    typer.echo(code := make_code(use_case, version, decision, reason=reason, is_override=override, path=key))
    if send:
        errors.print(make_plain(f"the tag review is set: {submit(use_case, version, code)}"), highlight=False)


@app.command()
def reviewer_key(
    name: Annotated[str, typer.Argument(help="Your name in lower case, as the ledger shows it.")],
    key: Annotated[
        Path | None, typer.Option(help="File for the private key; default: <name>.pem in ~/.config/titleholder.")
    ] = None,
) -> None:
    """Make a key that signs your reviews, and print the line for the YAML of the use case."""
    from titleholder.review import write_key

    path, line = write_key(name, key)
    console.print(f"private key, keep it to yourself: {path}", highlight=False, soft_wrap=True)
    console.print("for conf/use_cases/<name>.yaml, in a change that another person reviews:", highlight=False)
    typer.echo(f'review: {{by: person, reviewers: {{{name}: "{line}"}}}}')


@app.command()
def rollback(
    use_case: UseCaseName,
    reason: Annotated[str, typer.Option(help="The reason, recorded in the ledger.")],
    to_version: Annotated[int | None, typer.Option(help="A former champion; default: the previous one.", min=1)] = None,
    actor: Annotated[str, typer.Option(help="Who decides, recorded in the ledger; default: the user of this shell.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make a former champion the champion again. Works while Airflow is down."""
    from tasks.stages.registry import rollback as roll_back
    from tasks.use_case import load_use_case

    load_use_case(use_case)
    ledger = Ledger(get_settings().ledger_url)
    # Each command is one decision: unlike the retry of a task, a second call is a second rollback.
    run = f"titleholder rollback {clock.now().isoformat(timespec='seconds')}"
    entry = roll_back(use_case, actor or getpass.getuser(), reason, run, ledger, to_version=to_version, trust=Trust.LOCAL)
    show("Champion", [_line(entry)], as_json)


def _line(entry: LedgerEntry) -> dict[str, Any]:
    return {
        "entry": entry.sequence,
        "at": entry.at.isoformat(),  # to the microsecond: `--at` with it finds this entry, not the one before
        "action": entry.action.value,
        "version": entry.version,
        "from": entry.previous_version,
        "by": entry.actor,
        "trust": entry.trust.value + (", override" if entry.is_override else ""),
        "why": entry.reason,
        "dag_run": entry.dag_run,
    }


def _review_line(review: ReviewRecord) -> dict[str, Any]:
    return {
        "at": review.at.isoformat(timespec="seconds"),
        "version": review.version,
        "said": review.said,
        "by": review.actor,
        "trust": review.trust.value if review.trust else "not accepted",
        "channel": review.channel.value,
        "why": review.why_not or review.reason,
    }
