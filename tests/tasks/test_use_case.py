"""Errors in a use-case file name the file, the field, what is allowed and what came."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.contracts.base import TaskKind
from tasks.contracts.judging import GateMode
from tasks.contracts.training import Costs
from tasks.errors import ConfigurationError
from tasks.settings import ROOT, get_settings
from tasks.stages.evaluation import baseline_of
from tasks.stages.validation.suite import load_suite
from tasks.use_case import UseCase, list_use_cases, load_use_case, parse_use_case

FOLDER = ROOT / "conf" / "use_cases"
TEXT = (FOLDER / "purchase_propensity.yaml").read_text()


def changed(**changes: Any) -> str:
    document = yaml.safe_load(TEXT)
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = document
        for parent in parents:
            place = place[int(parent)] if parent.isdigit() else place[parent]
        place[last] = value
    return yaml.safe_dump(document)


@pytest.mark.parametrize("name", list_use_cases(FOLDER))
def test_the_shipped_use_cases_are_guarded(name: str) -> None:
    case = load_use_case(name, FOLDER)
    assert case.gates.mode is GateMode.ENABLED
    assert {"prediction_sanity", "minimum_metric", "beats_champion"} <= {gate.kind for gate in case.gates.checks}
    assert case.drift.checks
    assert (get_settings().expectations / f"{case.validation.suite}.yaml").is_file()


def test_gates_and_review_are_on_by_default() -> None:
    document = yaml.safe_load(TEXT)
    del document["gates"]["mode"], document["review"]
    case = parse_use_case(yaml.safe_dump(document), "x.yaml")
    assert case.gates.mode is GateMode.ENABLED
    assert case.review.by == "person"


SHOP_SOURCE = """
source:
  kind: daily_files
  path: sources/shop
  cells: {order: string, at: string, customer: string, sku: string, pieces: string, price: string}
  columns: {event_id: order, event_at: at, user_id: customer, item_id: sku, quantity: pieces, unit_price: price}
"""
TABLE_SOURCE = """
source:
  kind: daily_files
  path: sources/calls
  cells: {age: double, job: string, said: string}
  columns: {target: said}
  positive: "yes"
"""
MINIMAL = {
    "recommendation": SHOP_SOURCE,
    "propensity": SHOP_SOURCE,
    "rating": SHOP_SOURCE.replace("quantity: pieces, unit_price: price", "value: price")
    + "  constants: {event_type: rating}\n",
    "classification": TABLE_SOURCE,
}


@pytest.mark.parametrize("task", list(TaskKind))
def test_few_lines_are_a_guarded_use_case(task: TaskKind) -> None:
    text = f"name: shop\ntask: {task}{MINIMAL[task]}"
    case = parse_use_case(text, "shop.yaml")
    assert len(text.strip().splitlines()) < 15
    assert case.gates.mode is GateMode.ENABLED and case.review.by == "person"
    assert {"prediction_sanity", "minimum_metric", "beats_champion"} <= {gate.kind for gate in case.gates.checks}
    assert case.drift.checks and len(case.candidates) == 3
    assert load_suite(case.validation.suite, ROOT / "expectations").rules
    sections = dict(line.split(": ", 1) for line in case.defaults)
    assert set(UseCase.model_fields) - set(sections) == {"name", "task"}
    assert yaml.safe_load(sections["gates"])["checks"] and "path" not in yaml.safe_load(sections["source"])


def test_defaults_follow_what_is_stated() -> None:
    stated = "candidates: [{kind: prior, name: constant}, {kind: mlp}]\nmetrics: {primary: roc_auc}\n"
    case = parse_use_case(f"name: shop\ntask: classification\n{stated}{TABLE_SOURCE}", "shop.yaml")
    gates = {gate.kind: gate for gate in case.gates.checks}
    assert baseline_of(case.gates.checks) == "constant"
    assert gates["beats_champion"].model_dump()["metric"] == "roc_auc"
    assert not any(line.startswith("candidates") for line in case.defaults)
    assert case.split.kind == "stratified"
    with_times = TABLE_SOURCE.replace("said: string}", "said: string, at: timestamp}").replace(
        "{target", "{event_at: at, target"
    )
    assert parse_use_case(f"name: shop\ntask: classification{with_times}", "shop.yaml").split.kind == "by_time"


@pytest.mark.parametrize(
    ("cell", "stated", "message"),
    [
        (
            "string",
            "features: {ordinal: {job: [none, clerk]}}",
            "ordinal.job: 'none' means a missing cell; state source.cells.job",
        ),
        ("{missing: []}", "features: {ordinal: {job: [none, clerk]}}", ""),
        ("{case: upper}", "features: {ordinal: {job: [intern, CLERK]}}", "that say 'intern' are read as 'INTERN'; state this"),
        (
            "{allowed: [clerk, cook]}",
            "features: {ordinal: {job: [intern, clerk]}}",
            "expected one of clerk, cook, got 'intern'",
        ),
        ("string", "split: {kind: stratified, test_sets: {x: {where: {job: [' cook', clerk]}}}}", "read as 'cook'; state this"),
        ("string", "split: {kind: stratified, test_sets: {x: {where: {age: [1, 2.5], job: cook}}}}", ""),
    ],
)
def test_stated_values_are_spelt_as_cells_are_read(cell: str, stated: str, message: str) -> None:
    source = TABLE_SOURCE.replace("job: string", f"job: {cell}")
    text = f"name: shop\ntask: classification\n{stated}\n{source}"
    if not message:
        assert parse_use_case(text, "shop.yaml").name == "shop"
        return
    with pytest.raises(ConfigurationError) as refusal:
        parse_use_case(text, "shop.yaml")
    assert message in str(refusal.value)


def test_a_whole_file_states_what_it_states() -> None:
    sections = [line.partition(":")[0] for line in parse_use_case(TEXT, "x.yaml").defaults]
    assert not {"candidates", "metrics", "task", "source_path"} & set(sections)
    assert parse_use_case(TEXT, "x.yaml").validation.suite == "invoice_lines"


def test_ratings_need_to_be_called_so() -> None:
    source = MINIMAL["rating"].replace("  constants: {event_type: rating}\n", "")
    with pytest.raises(ConfigurationError, match=r"no column says what happened: state constants: \{event_type: rating\}"):
        parse_use_case(f"name: shop\ntask: rating{source}", "shop.yaml")


def test_catching_up_needs_a_first_day() -> None:
    with pytest.raises(ConfigurationError, match="catchup: true runs every window since start_date"):
        parse_use_case(f"name: shop\ntask: propensity\ncatchup: true{SHOP_SOURCE}", "shop.yaml")


def test_a_review_has_a_period_and_reviewers() -> None:
    line = "A" * 43 + "="
    review = parse_use_case(changed(review={"by": "person", "expires_after": "12h", "reviewers": {"anna": line}}), "x").review
    assert (review.expires_after, review.reviewers) == (timedelta(hours=12), {"anna": line})
    assert parse_use_case(changed(review={"by": "person"}), "x").review.expires_after == timedelta(days=7)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (changed(review={"by": "anybody"}), ["review.by", "'auto' or 'person'", "got 'anybody'"]),
        (changed(review={"expires_after": "a week"}), ["review.expires_after", "such as 7d", "got 'a week'"]),
        (changed(review={"expires_after": "0d"}), ["review.expires_after", "such as 7d"]),
        (changed(review={"expires_after": 7}), ["review.expires_after", "such as 7d", "got 7"]),
        (changed(review={"reviewers": {"anna": "ssh-ed25519 AAAA"}}), ["review.reviewers", "titleholder reviewer-key anna"]),
        (changed(review={"reviewers": {"Anna": "A" * 43 + "="}}), ["review.reviewers.Anna"]),
        (changed(surce={"kind": "invoice_files"}), ["x.yaml.surce: unknown key", "allowed here", "source"]),
        (changed(source__kind="invoices"), ["source.kind", "'invoices'", "invoice_files", "movielens"]),
        (changed(source__glob="*.csv"), ["source.glob: unknown key", "path"]),
        (changed(candidates__1__factors=0), ["candidates[1].factors", "greater than", "got 0"]),
        (changed(candidates__1__factor=8), ["candidates[1].factor: unknown key", "factors"]),
        (changed(candidates__1__kind="alss"), ["candidates[1].kind", "'alss'", "popularity"]),
        (changed(candidates=[{"kind": "logistic_regression"}]), ["logistic_regression", "classification", "propensity"]),
        (changed(candidates=[{"kind": "popularity"}, {"kind": "popularity"}]), ["distinct names"]),
        (changed(candidates=[]), ["candidates", "at least 1"]),
        (changed(gates__checks__0__kind="beats"), ["gates.checks[0].kind", "beats_champion"]),
        (changed(gates__mode="off"), ["gates.mode", "enabled", "'off'"]),
        (changed(drift__checks__0__threshold="high"), ["drift.checks[0].threshold", "'high'"]),
        (changed(drift__retrain_when={"violations": 4, "of_last": 3}), ["violations (4)", "of_last (3)"]),
        (changed(metrics__primary="ndcg"), ["ndcg", "ndcg_at_<k>"]),
        (changed(metrics__primary="rmse"), ["rmse", "propensity"]),
        (changed(validation__tolerance=1.5), ["validation.tolerance", "1.5"]),
        (changed(name="shop/../../etc"), ["name", "shop/../../etc"]),
        (changed(start_date="the first of May"), ["start_date", "the first of May"]),
        (changed(split={"kind": "stratified"}), ["stratified", "classification"]),
        (
            changed(drift__labels={"attribution_days": 7}),
            ["drift.labels.attribution_days (7)", "split.holdout_days (14)", "Leave attribution_days out"],
        ),
        (changed(probability={"of": "everybody"}), ["probability.of", "'all_known_users' or 'buyers'", "'everybody'"]),
        (changed(task="recommendation", probability={"of": "buyers"}), ["probability: is for propensity"]),
        (changed(recommend__relevant_from=3), ["recommend.relevant_from: is for ratings; the task is propensity"]),
        (changed(costs={"false_positive": 1, "false_negative": 2}), ["costs: are of wrong classes of rows"]),
        (changed(schedule="@dayly"), ["schedule", "@daily", "'@dayly'"]),
        (changed(schedule="@hourly"), ["schedule", "more than once a day", "one minute and one hour", "'0 6 * * *'"]),
        (changed(schedule="0 6,18 * * 1"), ["schedule", "'0 6,18 * * 1' fires more than once a day"]),
        (changed(schedule="*/30 6 * * *"), ["schedule", "more than once a day"]),
        (changed(schedule="0 6 * * * 30"), ["schedule", "five fields"]),
        (changed(time_zone="London"), ["time_zone", "Europe/London", "'London'"]),
        (changed(calendar={"closed_weekdays": ["sun"]}), ["calendar.closed_weekdays.0", "'sunday'", "'sun'"]),
        (changed(calendar={"holidays": {"country": "XX"}}), ["calendar.holidays", "ISO 3166", "'XX'"]),
        (changed(calendar={"holidays": {"country": "GB", "subdivision": "BY"}}), ["GB has no 'BY'", "ENG"]),
        (changed(calendar={"closed_days": ["24.12."]}), ["calendar.closed_days.0", "12-24..01-03", "'24.12.'"]),
        (changed(calendar={"closed_days": ["02-30"]}), ["calendar.closed_days.0", "day is out of range"]),
        (changed(calendar={"closed_days": ["2026-12-24..01-03"]}), ["a year in both days or in none"]),
        (changed(calendar={"closed_days": ["2026-12-24..2026-12-20"]}), ["the last day at or after the first"]),
        ("- a list\n", ["a mapping", "list"]),
        ("a: [unclosed", ["not YAML"]),
        ("", ["a mapping", "NoneType"]),
        (changed(review__by="nobody"), ["review.by", "auto", "'nobody'"]),
        (changed(features__lookback_days="all"), ["features.lookback_days", "'all'"]),
    ],
)
def test_errors_name_field_and_value(text: str, parts: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_use_case(text, "x.yaml")
    for part in ["x.yaml", *parts]:
        assert part in str(caught.value)


def test_scoring_terms_hold_what_figures_and_answers_share() -> None:
    terms = parse_use_case(changed(probability={"of": "buyers"}), "x.yaml").scoring_terms
    assert terms.probability_of == "buyers"
    assert load_use_case("purchase_propensity", FOLDER).scoring_terms.probability_of == "all_known_users"
    document = yaml.safe_load((FOLDER / "breast_cancer.yaml").read_text())
    document |= {"costs": {"false_positive": 1, "false_negative": 4}}
    assert parse_use_case(yaml.safe_dump(document), "x").scoring_terms.costs == Costs(false_positive=1, false_negative=4)
    document = yaml.safe_load((FOLDER / "movie_rating.yaml").read_text())
    document["recommend"]["relevant_from"] = 3.5
    assert parse_use_case(yaml.safe_dump(document), "x").scoring_terms.relevant_from == 3.5


@pytest.mark.parametrize("drift", [{}, {"labels": {}}, {"labels": {"late_days": 3}}, {"labels": {"attribution_days": 9}}])
def test_outcomes_count_as_long_as_labels(drift: dict[str, Any]) -> None:
    case = parse_use_case(changed(drift=drift, split={"kind": "by_time", "holdout_days": 9}), "x.yaml")
    assert case.drift.labels.attribution_days == 9
    assert case.drift.labels.late_days == drift.get("labels", {}).get("late_days", 1)


def test_rows_wait_for_their_labels_as_long_as_stated() -> None:
    document = yaml.safe_load((FOLDER / "breast_cancer.yaml").read_text())
    document |= {"split": {"kind": "by_time", "holdout_days": 9}, "drift": {"labels": {"attribution_days": 40}}}
    assert parse_use_case(yaml.safe_dump(document), "x.yaml").drift.labels.attribution_days == 40
    del document["drift"]
    assert parse_use_case(yaml.safe_dump(document), "x.yaml").drift.labels.attribution_days == 14


@pytest.mark.parametrize("schedule", ["@daily", "@weekly", "@monthly", "30 5 * * 1-5", "0 6 1 */3 *", None])
def test_schedules_of_a_day_and_more_are_accepted(schedule: str | None) -> None:
    assert parse_use_case(changed(schedule=schedule), "x.yaml").schedule == schedule


@pytest.mark.parametrize("name", ["../secrets", "a/b", "a.b", "", "Shop", "1st", "x" * 64, "shöp"])
def test_unsafe_names_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="small letters"):
        load_use_case(name, FOLDER)


def test_an_unknown_name_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there are: breast_cancer, movie_rating, purchase_propensity"):
        load_use_case("shop", FOLDER)
    (tmp_path / "shop.yaml").write_text(TEXT)
    with pytest.raises(ConfigurationError, match="must be the file's own name 'shop'"):
        load_use_case("shop", tmp_path)
    with pytest.raises(ConfigurationError, match="no folder"):
        list_use_cases(tmp_path / "absent")


def test_yaml_tags_run_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not YAML"):
        parse_use_case(f"name: !!python/object/apply:os.system ['touch {tmp_path}/ran']", "x.yaml")
    assert not (tmp_path / "ran").exists()


def test_source_paths_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    case = parse_use_case(TEXT, "purchase_propensity.yaml")
    assert case.source_path == get_settings().home / "sources" / "purchase_propensity"
    monkeypatch.setenv("TITLEHOLDER_SOURCE_PATHS", f'{{"purchase_propensity": "{tmp_path}"}}')
    get_settings.cache_clear()
    assert case.source_path == tmp_path


def test_a_wrong_environment_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TITLEHOLDER_ENDPOINT_POLL_SECONDS", "soon")
    get_settings.cache_clear()
    with pytest.raises(ConfigurationError, match=r"TITLEHOLDER_ENDPOINT_POLL_SECONDS.*got 'soon'"):
        get_settings()
