"""`<use_case>.training`: split by time -> one candidate per model -> one common holdout -> gates -> registered, or refused."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, TriggerRule, dag, get_current_context, task

from dags import assets
from dags.defaults import day_of_run, day_param, describe, for_each_use_case, open_run, tell_failure
from dags.links import show_page, with_page
from tasks.contracts.data import Split
from tasks.contracts.judging import Verdict
from tasks.contracts.promotion import ModelVersion
from tasks.contracts.training import Candidate
from tasks.errors import ModelError
from tasks.io import isolated_process
from tasks.jobs import training as jobs
from tasks.use_case import UseCase

FAILURE = "failure"  # key of the XCom in which a candidate's task leaves its reason
ENDPOINT_COMMAND = isolated_process.command("serving.standalone")  # serves one export, to the gates alone
TEXT = """
Trains every candidate, chooses the best on the validation window, scores it and the champion on the same newest holdout,
and applies the gates. Runs on a retrain request; by hand with the form.

* **A refused candidate is a normal outcome**: the run succeeds, `announce_challenger` is skipped, the champion stays, and
  the reasons are on the model version in MLflow.
* **A candidate that fails ends nothing**: the others are judged, and the log of `judge`, the report and the model card name it
  with its reason. If all fail, `judge` fails with all reasons.
* **A champion that cannot be scored has lost** (a column that it needs is gone, its export was deleted): the challenger is
  judged as a first one, and a person decides, also where reviews are automatic.
* **Profile**: the button on `profile` opens a page about the rows that were known: statistics, gaps, outliers, correlations.
* **Running it again** finds its finished MLflow runs and its registered version: no second one is made.
"""


def give_up(context: Any) -> None:
    """The failure callback of every task: the requests of a failed training hold back no other."""
    jobs.give_up(context["dag"].dag_id.removesuffix(".training"), context["run_id"])


def read_failures(context: Any, count: int) -> dict[str, str]:
    """Candidate -> why it failed, of those that could leave a reason."""
    left = context["ti"].xcom_pull(task_ids="train", key=FAILURE, map_indexes=list(range(count))) or []
    return {candidate: reason for one in left if one for candidate, reason in one.items()}


def list_params(use_case: UseCase) -> dict[str, Param]:
    """The form."""
    names = [spec.candidate_name for spec in use_case.candidates]
    return {
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


@task
def list_candidates(**context: Any) -> list[str]:
    """The candidates of the form, or of the use case."""
    return list(context["params"]["candidates"])


def build(use_case: UseCase) -> object:
    name, request, product = use_case.name, assets.retrain_request(use_case.name), assets.challenger(use_case.name)
    described = describe(use_case, "training", TEXT)
    described["default_args"] |= {"on_failure_callback": [tell_failure, give_up]}

    @dag(**described, schedule=[request], params=list_params(use_case))
    def training() -> None:
        @task
        def split() -> dict[str, Any]:
            """Features and labels of three consecutive windows: train, validation, holdout."""
            context = get_current_context()
            requests, day = assets.events_of(context, request), day_of_run(use_case, context)
            with open_run(name) as run:
                return jobs.split(run, as_of=day_param(context, "as_of"), requests=requests, day=day).to_json()

        @task
        def profile(split: dict[str, Any]) -> None:
            """A page about the known rows: statistics, gaps, outliers, correlations, balance, seasons."""
            with open_run(name) as run:
                show_page(jobs.profile(run, Split.from_json(split)))

        # without `give_up`: the requests of the run stay with the candidates that are left
        @task(map_index_template="{{ candidate }}", on_failure_callback=tell_failure)
        def train(candidate: str, split: dict[str, Any]) -> dict[str, Any]:
            """Tune where the use case says so, then fit, calibrate, export and log one candidate."""
            context = get_current_context()
            context["candidate"] = candidate
            try:
                with open_run(name) as run:
                    return jobs.train(run, candidate, Split.from_json(split)).to_json()
            except Exception as error:
                context["ti"].xcom_push(FAILURE, {candidate: str(error) or type(error).__name__})
                raise

        @task(trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS)
        def judge(trained: list[dict[str, Any]], split: dict[str, Any], expected: list[str]) -> dict[str, Any]:
            """Score the chosen candidate and the champion, once, on the same holdout, and apply the gates."""
            candidates = [Candidate.from_json(one) for one in trained]
            failed = jobs.list_failed(expected, candidates, read_failures(get_current_context(), len(expected)))
            with open_run(name) as run:
                split_of_all = Split.from_json(split)
                return jobs.judge(run, candidates, split_of_all, endpoint_command=ENDPOINT_COMMAND, failed=failed).to_json()

        @task(trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS)
        def draw_learning_curve(trained: list[dict[str, Any]]) -> None:
            """Would more data help the chosen candidate? For its model card."""
            with open_run(name) as run:
                jobs.draw_learning_curve(run, [Candidate.from_json(one) for one in trained])

        @task(trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS)
        def register(verdict: dict[str, Any] | None) -> dict[str, Any]:
            """A version in the registry, with its verdict and reasons; alias challenger if it passed."""
            with open_run(name) as run:
                if verdict is None:  # only the learning curve succeeded
                    raise ModelError(f"{name}: there is nothing to register, because judge failed")
                return jobs.register(run, Verdict.from_json(verdict)).to_json()

        @task(outlets=[product])
        def announce_challenger(version: dict[str, Any]) -> None:
            """Start a promotion, if the version passed."""
            with open_run(name):
                assets.describe_event(product, jobs.announce_challenger(ModelVersion.from_json(version)))

        parts = split()
        with_page(profile(parts), "Profile")
        wanted = list_candidates()
        trained = train.partial(split=parts).expand(candidate=wanted)
        version = register(judge(trained, parts, wanted))
        draw_learning_curve(trained) >> version
        announce_challenger(version)

    return training()


for_each_use_case(build)
