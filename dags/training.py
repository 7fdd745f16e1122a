"""`<use_case>.training`: split by time -> one candidate per model -> one common holdout -> gates -> registered, or refused."""

from __future__ import annotations

import logging
from datetime import date
from typing import Any

from airflow.sdk import Param, dag, get_current_context, task

from dags import assets
from dags.defaults import day_of_run, day_param, describe, fail_without_retry, for_each_use_case, skip, tell_failure
from dags.links import show_page, with_page
from tasks.use_case import UseCase

_log = logging.getLogger(__name__)
TEXT = """
Trains every candidate, chooses the best on the validation window, scores it and the champion on the same newest holdout,
and lets the gates judge. Runs on a retrain request; by hand with the form.

* **A refused candidate is a normal outcome**: the run is green, `announce_challenger` is skipped, the champion stays, and
  the reasons stand on the model version in MLflow.
* **Profile**: the button on `profile` opens a page of the rows that were known: what to look at before modelling.
* **Running it again** finds its finished MLflow runs and its registered version: no second one is made.
"""


def give_up(context: Any) -> None:
    """A training that failed holds back no other: its requests count as answered, until it is cleared and ends well."""
    from tasks.io.decisions import DecisionLog
    from tasks.settings import get_settings

    name = context["dag"].dag_id.removesuffix(".training")
    DecisionLog(get_settings().ledger_url).settle_requests(name, context["run_id"], version=None, passed=False)


def build(use_case: UseCase) -> object:
    name, request, product = use_case.name, assets.retrain_request(use_case.name), assets.challenger(use_case.name)
    names = [spec.candidate_name for spec in use_case.candidates]
    params = {
        "as_of": Param(
            None,
            type=["null", "string"],
            format="date",
            title="As of",
            description="Train on what was known before this day. Empty: the request's day, else the newest validated day.",
        ),
        "candidates": Param(
            names,
            type="array",
            examples=names,
            items={"type": "string", "enum": names},
            minItems=1,
            title="Candidates",
            description="Which models to train.",
        ),
    }

    described = describe(use_case, "training", TEXT)
    described["default_args"] |= {"on_failure_callback": [tell_failure, give_up]}

    @dag(**described, schedule=[request], params=params)
    def training() -> None:
        @task
        def split() -> dict[str, Any]:
            """Features and labels of three consecutive windows: train, validation, holdout."""
            from tasks.columns import VALIDATED
            from tasks.contracts.base import Window
            from tasks.io.decisions import DecisionLog
            from tasks.io.storage import Storage
            from tasks.settings import get_settings
            from tasks.stages.features import split
            from tasks.use_case import load_use_case

            context = get_current_context()
            storage = Storage(get_settings().data_root)
            asked = assets.events_of(context, request)
            as_of = day_param(context, "as_of") or (date.fromisoformat(asked[-1]["as_of"]) if asked else None)
            history = storage.history(name, VALIDATED, as_of or day_of_run(context))
            if not history:
                skip(f"nothing validated up to {as_of or day_of_run(context)}: run {name}.features first")
            with fail_without_retry():
                case = load_use_case(name)
                as_of = as_of or Window.from_label(history[-1].partition).end
                log, run = DecisionLog(get_settings().ledger_url), context["run_id"]
                keys = [event["idempotency_key"] for event in asked] or [f"by hand: {run}"]
                taken = [log.take_request(name, key, as_of, run) for key in keys]
                if not any(taken):
                    skip(f"another training answers this request already: {', '.join(keys)}")
                earlier = case.tuning.earlier_windows(case.task)
                made = split(name, case.task, case.features, case.split, history, as_of, case.seed, storage, earlier)
            return made.to_json()

        @task
        def profile(split: dict[str, Any]) -> None:
            """A page of what is learned from: statistics, gaps, outliers, correlations, balance, seasons."""
            from tasks.columns import VALIDATED
            from tasks.contracts.data import Split
            from tasks.io.storage import Storage
            from tasks.settings import get_settings
            from tasks.stages.profiling import profile
            from tasks.use_case import load_use_case

            context, as_of = get_current_context(), Split.from_json(split).as_of
            tags = {"dag_id": context["dag"].dag_id, "run_id": context["run_id"]}
            try:
                case, storage = load_use_case(name), Storage(get_settings().data_root)
                history = storage.history(name, VALIDATED, as_of)
                show_page(context, profile(name, f"known before {as_of}", history, storage, case.seed, tags))
            except Exception as error:  # a page that cannot be made must not end a training
                _log.warning("no profile: %s", error)

        @task
        def list_candidates(**context: Any) -> list[str]:
            """The names that the form, or the use case, asks for."""
            return list(context["params"]["candidates"])

        @task(map_index_template="{{ candidate }}")
        def train(candidate: str, split: dict[str, Any]) -> dict[str, Any]:
            """Tune where the use case says so, then fit, calibrate, export and log one candidate."""
            from tasks.contracts.data import Split
            from tasks.io.ledger import Ledger
            from tasks.io.storage import Storage
            from tasks.settings import get_settings
            from tasks.stages.registry import champion_of
            from tasks.stages.training import begin, train, tune, with_settings
            from tasks.use_case import load_use_case

            context = get_current_context()
            context["candidate"] = candidate
            tags = {"dag_id": context["dag"].dag_id, "run_id": context["run_id"]}
            with fail_without_retry():
                case, settings = load_use_case(name), get_settings()
                spec, parts, storage = case.candidate(candidate), Split.from_json(split), Storage(settings.data_root)
                asked = case.recommend.k, case.recommend.exclude_seen, case.seed, storage
                asks_champion = candidate in (*case.tuning.candidates, *case.incremental.candidates)
                champion = champion_of(name, Ledger(settings.ledger_url)) if asks_champion else None
                if candidate in case.tuning.candidates:
                    tuned = tune(
                        name,
                        case.task,
                        spec,
                        case.tuning,
                        parts.before_holdout,
                        case.metrics.primary,
                        *asked,
                        tags,
                        champion.run_id if champion else None,
                    )
                    spec, tags = with_settings(spec, tuned.settings), tags | {"titleholder.tuning_run": tuned.run_id}
                start = begin(spec, case.incremental, parts.as_of, champion)
                made = train(name, case.task, spec, parts, case.metrics.all, *asked, tags, *start)
            print(f"{candidate}: " + ", ".join(f"{key} {value:.4f}" for key, value in made.metrics.items()))  # noqa: T201
            return made.to_json()

        @task
        def judge(trained: list[dict[str, Any]], split: dict[str, Any]) -> dict[str, Any]:
            """Score the chosen candidate and the champion, once, on the same holdout, and ask the gates."""
            from tasks.contracts.data import Split
            from tasks.contracts.training import Candidate
            from tasks.io.ledger import Ledger
            from tasks.io.storage import Storage
            from tasks.settings import get_settings
            from tasks.stages.evaluation import baseline_of, choose, evaluate, judge
            from tasks.stages.registry import champion_of
            from tasks.use_case import load_use_case

            with fail_without_retry():
                case, settings = load_use_case(name), get_settings()
                storage = Storage(settings.data_root)
                candidates = [Candidate.from_json(one) for one in trained]
                champion = champion_of(name, Ledger(settings.ledger_url))
                evaluations = evaluate(
                    name,
                    case.task,
                    candidates,
                    champion,
                    Split.from_json(split),
                    case.metrics.all,
                    baseline_of(case.gates.checks),
                    case.recommend.k,
                    case.recommend.exclude_seen,
                    storage,
                )
                verdict = judge(
                    name,
                    case.task,
                    choose(candidates, case.metrics.primary, case.task),
                    evaluations,
                    case.gates.checks,
                    case.gates.mode,
                    champion,
                    case.seed,
                    storage,
                )
            return verdict.to_json()

        @task
        def draw_learning_curve(trained: list[dict[str, Any]]) -> None:
            """Would more data help the chosen candidate? For its model card; asked beside the judging."""
            from tasks.contracts.training import Candidate
            from tasks.io.storage import Storage
            from tasks.settings import get_settings
            from tasks.stages.evaluation import choose
            from tasks.stages.training import draw_learning_curve
            from tasks.use_case import load_use_case

            with fail_without_retry():
                case = load_use_case(name)
                chosen = choose([Candidate.from_json(one) for one in trained], case.metrics.primary, case.task)
                curve = draw_learning_curve(
                    chosen,
                    case.task,
                    case.candidate(chosen.name),
                    case.metrics.primary,
                    case.recommend.k,
                    case.recommend.exclude_seen,
                    case.seed,
                    Storage(get_settings().data_root),
                )
            for point in curve.points:
                print(f"{point.units} {curve.unit}: {curve.metric} {point.validation:.4f}")  # noqa: T201

        @task
        def register(verdict: dict[str, Any]) -> dict[str, Any]:
            """A version in the registry, with its verdict and reasons; alias challenger if it passed."""
            from tasks.contracts.judging import Verdict
            from tasks.io.decisions import DecisionLog
            from tasks.io.storage import Storage
            from tasks.settings import get_settings
            from tasks.stages.registry import register

            with fail_without_retry():
                judged = Verdict.from_json(verdict)
                version = register(judged, Storage(get_settings().data_root))
                log, run = DecisionLog(get_settings().ledger_url), get_current_context()["run_id"]
                log.settle_requests(name, run, version=version.version, passed=version.passed)
            said = "passed every enabled gate" if judged.passed else "refused: " + "; ".join(judged.reasons)
            print(f"version {version.version} ({judged.candidate.name}) {said}")  # noqa: T201
            return version.to_json()

        @task(outlets=[product])
        def announce_challenger(version: dict[str, Any]) -> None:
            """Tell promotion that there is a challenger, if and only if it passed."""
            if not version["passed"]:
                skip(f"version {version['version']} was refused; its reasons are on the version in MLflow")
            get_current_context()["outlet_events"][product].extra = {"version": version["version"]}

        parts = split()
        with_page(profile(parts), "Profile")
        trained = train.partial(split=parts).expand(candidate=list_candidates())
        version = register(judge(trained, parts))
        draw_learning_curve(trained) >> version
        announce_challenger(version)

    return training()


for_each_use_case(build)
