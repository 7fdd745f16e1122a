"""`titleholder data` and `titleholder quarantine`: snapshots, quarantined rows, and their replay."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from tasks import clock
from tasks import columns as c
from tasks.contracts.data import DatasetRef
from tasks.errors import ConfigurationError, SnapshotError
from tasks.io.storage import Storage
from tasks.settings import get_settings
from tasks.use_case import UseCase, load_use_case
from titleholder.output import AsJson, UseCaseName, console, errors, make_plain, parse_moment, print_json
from titleholder.output import show as show_table

data = typer.Typer(no_args_is_help=True, help="Snapshots: list, compare, profile, prune.")
quarantine = typer.Typer(no_args_is_help=True, help="Quarantined rows: show, explain, replay.")


def _open(use_case: str) -> tuple[UseCase, Storage]:
    return load_use_case(use_case), Storage(get_settings().data_root, run="titleholder")


# data


@data.command("list")
def list_snapshots(
    use_case: UseCaseName,
    layer: Annotated[str | None, typer.Option(help="raw, validated, quarantine, features, examples, ...")] = None,
    at: Annotated[str | None, typer.Option(help="Show what was current at this moment: ISO 8601, UTC without a zone.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Also superseded versions.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the current snapshots with their inputs and runs, and deliveries that were refused since."""
    from tasks.stages.validation import find_refused

    _, storage = _open(use_case)
    moment = parse_moment(at) if at else None
    rows = []
    for name in [layer] if layer else [found for case, found in storage.layers() if case == use_case]:
        for partition in storage.partitions(use_case, name):
            current = storage.current(use_case, name, partition)
            if moment is not None:
                shown = [storage.at(use_case, name, partition, moment)]
            elif every:
                versions = storage.versions(use_case, name, partition)
                shown = [storage.version(use_case, name, partition, version) for version in versions]
            else:
                shown = [current]
            rows += [_line(ref, ref == current, storage) for ref in shown if ref is not None]
    show_table(f"Snapshots of {use_case}", rows, as_json)
    if not as_json:
        for refused in find_refused(use_case, storage):
            console.print(Text("behind ", style="yellow") + make_plain(refused.summary), highlight=False, soft_wrap=True)


@data.command()
def diff(
    use_case: UseCaseName,
    layer: Annotated[str, typer.Argument(help="raw, validated, quarantine, features, ...")],
    partition: Annotated[str, typer.Argument(help="A window such as 2011-01-04..2011-01-05, or an as_of day.")],
    old: Annotated[str | None, typer.Option(help="A version; default: the version before the current one.")] = None,
    new: Annotated[str | None, typer.Option(help="A version; default: the current version.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare two versions of a partition: inputs, settings, schema, and rows by their key."""
    _, storage = _open(use_case)
    past = [one.version for one in storage.current_versions(use_case, layer, partition)]
    if not past or (len(past) < 2 and old is None):
        raise SnapshotError(
            f"{use_case}/{layer}/{partition}: expected two versions to compare, got {len(past)} that were current; "
            "name others with --old and --new"
        )
    before = storage.version(use_case, layer, partition, old or past[-2])
    after = storage.version(use_case, layer, partition, new or past[-1])
    show_table(f"{before.key} -> {after.key}", compare(before, after, storage), as_json)


@data.command()
def prune(
    keep_days: Annotated[int, typer.Option(help="Keep superseded versions for so many days.", min=0)] = 90,
    yes: Annotated[bool, typer.Option("--yes", help="Remove them. Without it, only list them.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove superseded versions that are no input of a current snapshot. Current versions always stay."""
    storage = Storage(get_settings().data_root)
    old = storage.superseded(clock.now() - timedelta(days=keep_days))
    show_table("Removed" if yes else "Would be removed with --yes", [_line(ref, False, storage) for ref in old], as_json)
    for ref in old if yes else ():
        try:
            storage.remove(ref)
        except SnapshotError as error:  # a run has made it current again since then
            errors.print(f"kept: {error}", markup=False, soft_wrap=True)


@data.command()
def profile(
    use_case: UseCaseName,
    window: Annotated[str | None, typer.Option(help="One window; default: all windows together.")] = None,
    layer: Annotated[str, typer.Option(help="raw or validated")] = c.VALIDATED,
    to: Annotated[Path, typer.Option(help="File to write the page to.")] = Path("profile.html"),
) -> None:
    """Write a profile of the rows as one HTML page: statistics, gaps, outliers, correlations, balance, time."""
    from tasks.stages.profiling import draw_profile

    case, storage = _open(use_case)
    there = storage.partitions(use_case, layer)
    if (layer not in {c.RAW, c.VALIDATED}) or (window is not None and window not in there):
        raise SnapshotError(
            f"{use_case}: expected a window of raw or validated rows, got {layer} of {window or 'all windows'}; "
            f"the newest windows are: {', '.join(there[-5:]) or 'none'}"
        )
    chosen = [storage.current(use_case, layer, name) for name in ([window] if window else there)]
    title = f"{use_case}, {layer} rows of {window or 'all windows'}"
    page, _ = draw_profile(title, [ref for ref in chosen if ref is not None], storage, case.seed, case.zone)
    to.write_text(page)
    console.print(f"profile: {to}", highlight=False)


def _line(ref: DatasetRef, is_current: bool, storage: Storage) -> dict[str, Any]:
    manifest = storage.manifest(ref)
    made = manifest.get("made", {})
    return {
        "layer": ref.layer,
        "partition": ref.partition,
        "version": ref.version,
        "current": "yes" if is_current else "no",
        "rows": ", ".join(f"{table} {rows}" for table, rows in ref.rows.items()),
        "digest": ref.digest[:12],
        "made_at": (made.get("at") or "")[:19] or None,
        "run": made.get("run"),
        "code": made.get("code"),
        "made_from": ", ".join(f"{one['layer']}/{one['partition']}/{one['version'][:8]}" for one in manifest["inputs"][-3:])
        or ", ".join(f"{name} {digest[:8]}" for name, digest in list(manifest["facts"].get("files", {}).items())[-3:]),
    }


def compare(before: DatasetRef, after: DatasetRef, storage: Storage) -> list[dict[str, Any]]:
    """Rows `what`, `before`, `after`: only what differs."""
    old, new = storage.manifest(before), storage.manifest(after)
    found: list[dict[str, Any]] = []

    def note(what: str, one: Any, other: Any) -> None:
        if one != other:
            found.append({"what": what, "before": one, "after": other})

    note("digest", before.digest[:12], after.digest[:12])
    for name in sorted({*old["facts"], *new["facts"]} - {"report"}):
        note(name, _brief(old["facts"].get(name)), _brief(new["facts"].get(name)))
    note("code", old.get("made", {}).get("code"), new.get("made", {}).get("code"))
    note("inputs", _brief([one["version"] for one in old["inputs"]]), _brief([one["version"] for one in new["inputs"]]))
    for table in sorted({*before.rows, *after.rows}):
        note(f"{table}: rows", before.rows.get(table), after.rows.get(table))
        note(f"{table}: columns", _brief(old["schema"].get(table)), _brief(new["schema"].get(table)))
        if table in before.rows and table in after.rows:
            found += [
                {"what": f"{table}: {what}", **sides} for what, sides in _compare_rows(before, after, table, storage).items()
            ]
    return found


def _compare_rows(before: DatasetRef, after: DatasetRef, table: str, storage: Storage) -> dict[str, dict[str, Any]]:
    """Keys that were added, removed and changed: how many, and the first three."""
    import pandas as pd

    frames = [storage.read(ref, table) for ref in (before, after)]
    keys = [name for name in (c.ROW_ID, c.USER_ID, c.ITEM_ID) if name in frames[0]]
    keys = [c.ROW_ID] if c.ROW_ID in keys else keys
    shared = [name for name in frames[0] if name in frames[1]]
    digests = [
        pd.Series(
            pd.util.hash_pandas_object(frame[shared], index=False).to_numpy(), index=pd.MultiIndex.from_frame(frame[keys])
        )
        for frame in frames
    ]
    both = digests[0].index.intersection(digests[1].index)
    gone, came = digests[0].index.difference(digests[1].index), digests[1].index.difference(digests[0].index)
    changed = both[(digests[0].loc[both].to_numpy() != digests[1].loc[both].to_numpy())] if len(both) else both
    changes = {}
    for what, index, side in (("removed", gone, "before"), ("added", came, "after"), ("changed", changed, "after")):
        if len(index):
            first = ", ".join("/".join(map(str, key)) for key in sorted(index)[:3])
            changes[what] = {"before": None, "after": None, side: f"{len(index)}: {first}{', ...' if len(index) > 3 else ''}"}
    return changes


def _brief(value: Any) -> Any:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return text if len(text) <= 300 else f"{text[:300]}..."


# quarantine


@quarantine.command()
def show(
    use_case: UseCaseName,
    window: Annotated[str | None, typer.Option(help="One window, such as 2011-01-04..2011-01-05.")] = None,
    rule: Annotated[str | None, typer.Option(help="Only rows that broke this rule.")] = None,
    limit: Annotated[int, typer.Option(help="Show at most so many rows.", min=1)] = 20,
    as_json: AsJson = False,
) -> None:
    """Show quarantined rows as they arrived, with the rules that they broke, their file and run, and counts by rule."""
    from tasks.stages.validation import find_refused
    from tasks.stages.validation.quarantine import read_quarantine

    _, storage = _open(use_case)
    rows = read_quarantine(use_case, storage, window, rule)
    counts = Counter(name for rules in rows[c.BROKEN_RULES] for name in rules.split(", "))
    refused = find_refused(use_case, storage)
    shown = rows.head(limit).astype({c.INGESTED_AT: str}).to_dict("records")
    if as_json:
        document = {"rows": len(rows), "by_rule": dict(counts.most_common()), "refused": [one.to_json() for one in refused]}
        print_json({**document, "shown": shown})
        return
    show_table(f"Quarantine of {use_case}, by rule", [{"rule": k, "rows": n} for k, n in counts.most_common()])
    show_table(f"{min(limit, len(rows))} of {len(rows)} rows", [{str(k): v for k, v in row.items()} for row in shown])
    for one in refused:
        console.print(Text("behind ", style="yellow") + make_plain(one.summary), highlight=False, soft_wrap=True)


@quarantine.command()
def explain(
    use_case: UseCaseName, row_id: Annotated[str, typer.Argument(help="The id that `show` prints.")], as_json: AsJson = False
) -> None:
    """Explain why one row is in quarantine: each rule that it broke with its reason, and the cells as they arrived."""
    from tasks.stages.validation.quarantine import explain_row

    _, storage = _open(use_case)
    row, rules, cells = explain_row(use_case, row_id, storage)
    if as_json:
        document = {"row": row, "rules": [rule.to_json() for rule in rules], "cells": cells}
        print_json(document)
        return
    where = f"{row_id} of {row[c.SOURCE_FILE]}, window {row['window']}, run {row['run'] or 'unknown'}"
    show_table(where, [{"cell": name, "value": value} for name, value in cells.items()])
    show_table("Broken rules", [{"rule": r.rule, "expectation": r.expectation, "reason": r.reason} for r in rules])


@quarantine.command()
def replay(
    use_case: UseCaseName,
    window: Annotated[list[str] | None, typer.Option(help="Only these windows.")] = None,
    as_json: AsJson = False,
) -> None:
    """Validate windows with quarantined rows again, after a fix, and rebuild the features that were made from them."""
    from tasks.jobs.replay import affected_windows, rebuild_features, replay_window
    from tasks.jobs.run import Run

    run = Run.open(use_case, run_id="titleholder")
    affected = affected_windows(run, window)
    if missing := sorted(set(window or ()) - set(affected)):
        raise ConfigurationError(
            f"{use_case}: no rows in quarantine in {', '.join(missing)}; "
            f"windows with such rows: {', '.join(affected) or 'none'}"
        )
    done = [replay_window(run, one) for one in affected]
    built = rebuild_features(run, {one.window for one in done if one.changed})
    rows = [
        {
            "window": one.window,
            "in_quarantine_before": one.before,
            "now": one.after,
            "changed": "yes" if one.changed else "no",
            "validated": one.validated.version if one.validated else "refused",
            "note": one.note,
        }
        for one in done
    ]
    if as_json:
        print_json({"windows": rows, "features": [ref.to_json() for ref in built]})
    else:
        show_table(f"Replayed windows of {use_case}", rows)
        console.print(f"rebuilt features: {', '.join(ref.partition for ref in built) or 'none'}", highlight=False)
    if any(one.validated is None for one in done):
        raise typer.Exit(1)
