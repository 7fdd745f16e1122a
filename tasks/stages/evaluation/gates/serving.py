"""Gates of the export as it will be served: fast and small enough, with the columns that it was trained on."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

import numpy as np
from pydantic import Field

from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.contracts.judging import GateResult
from tasks.contracts.training import ScoringTerms
from tasks.errors import ModelError
from tasks.models.base import Examples
from tasks.models.signature import question_columns
from tasks.models.tabular import feature_columns
from tasks.stages.evaluation.gates.base import Context, Gate

if TYPE_CHECKING:
    import pandas as pd

WARM_UP, ROUNDS = 5, 3
NUMBER, TEXT = "double", "string"  # as MLflow names the types of columns


class ServingBudget(Gate):
    """One request is answered fast enough, and the export is small enough to be downloaded and kept in memory.

    The export is served by the endpoint itself, in a process of its own. Requests over HTTP name one user (or row) of the
    holdout at a time, so that routing, validation and the prediction log are counted too.
    `p99_ms` bounds the 99th percentile of `requests` answers. Up to three rounds are made, and the best one counts: what else
    the machine does at the time is not the model's fault. `megabytes` bounds the export.
    """

    kind: Literal["serving_budget"] = "serving_budget"
    p99_ms: float = Field(gt=0.0)
    megabytes: float = Field(gt=0.0)
    requests: int = Field(200, ge=20, le=10_000)

    def check(self, context: Context) -> GateResult:
        export, faults = context.export, []
        if absent := _absent(export.terms.row_columns, context.holdout):
            return self.answer(False, f"no request can be made: the holdout has no column {', '.join(absent)}")
        if export.megabytes > self.megabytes:
            faults.append(f"the export has {export.megabytes:.1f} MB; at most {self.megabytes:g} are allowed")
        try:
            with context.serve() as address:
                p99 = self._measure(address, context)
        except ModelError as error:
            return self.answer(False, "; ".join([*faults, str(error)]), megabytes=export.megabytes)
        if p99 > self.p99_ms:
            faults.append(f"one answer in a hundred takes {p99:.1f} ms or more; at most {self.p99_ms:g} ms are allowed")
        reason = "; ".join(faults) or f"p99 {p99:.2f} ms of {self.requests} single answers, {export.megabytes:.2f} MB"
        return self.answer(not faults, reason, p99_ms=p99, megabytes=export.megabytes)

    def _measure(self, address: str, context: Context) -> float:
        """The 99th percentile in milliseconds, of the best round."""
        p99 = np.inf
        requests = _requests(context, self.requests + WARM_UP)
        for _ in range(ROUNDS):
            took = _ask_all(address, requests, context.clock)[WARM_UP:]
            p99 = min(p99, float(np.quantile(took, 0.99, method="higher")) * 1000)
            if p99 <= self.p99_ms:
                break
        return p99


def _ask_all(address: str, requests: Sequence[tuple[str, str, str | None]], clock: Callable[[], float]) -> Floats:
    """Seconds that each request took, one after another over one connection.

    Raises
    ------
    ModelError : an answer is none.
    """
    import http.client

    took = []
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    try:
        for method, path, body in requests:
            began = clock()
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            response = connection.getresponse()
            answer = response.read()
            took.append(clock() - began)
            if response.status != http.client.OK:
                raise ModelError(f"{method} {path} is answered with {response.status}: {answer[:300].decode(errors='replace')}")
    except (OSError, http.client.HTTPException) as error:
        raise ModelError(f"{method} {path} is not answered: {error}") from error
    finally:
        connection.close()
    return np.array(took)


def _requests(context: Context, many: int) -> list[tuple[str, str, str | None]]:
    """Method, path and body of single questions, about units of the holdout that the context's seed draws."""
    holdout, columns, root = context.holdout, list(context.export.terms.row_columns), f"/v1/{context.export.terms.use_case}"
    generator = np.random.default_rng(context.seed)
    if holdout.rows is not None:
        drawn_rows = holdout.rows[columns].iloc[generator.integers(0, len(holdout.rows), many)].astype(object)
        records = drawn_rows.where(drawn_rows.notna(), None).to_dict(orient="records")  # JSON has no NaN
        return [("POST", f"{root}/predictions", json.dumps({"rows": [record]})) for record in records]
    if holdout.labels is None:
        return []
    users = holdout.labels[c.USER_ID].to_numpy(dtype=object)
    drawn = users[generator.integers(0, len(users), many)]
    return [("GET", f"{root}/recommendations/{quote(str(user), safe='')}", None) for user in drawn]


class SignatureMatch(Gate):
    """Training frame, Spark frame, JSON request and the signature that MLflow shows agree on columns, order and types.

    What a request carries is said by the terms inside the export. The signature must name the same; so must the frame that
    was learned from, as pandas and as Spark read it, the holdout, and a request that is made of the holdout's first row.
    """

    kind: Literal["signature_match"] = "signature_match"

    def check(self, context: Context) -> GateResult:
        terms, shown = context.export.terms, context.signature
        faults = []
        if terms.task is not context.task:
            faults.append(f"the export is for the task '{terms.task}', the use case for '{context.task}'")
        else:
            wanted = _expected_columns(terms)
            faults += _compare(wanted, shown, "the signature shows")
            faults += _compare(wanted, _holdout_columns(context.holdout, terms), "the holdout has")
            for name, there in context.columns.items():
                faults += _compare(wanted, _question_columns(there, terms), f"{name} has")
            faults += _compare(wanted, _request(wanted, context.holdout), "a JSON request has")
        agree = f"training frame, Spark frame, request and signature agree on {len(shown)} columns"
        reason = "; ".join(faults) or f"{agree}: {', '.join(list(shown)[:5])}"
        return self.answer(not faults, reason, columns=len(shown))


def _expected_columns(terms: ScoringTerms) -> dict[str, str]:
    """Name -> type of what a request carries."""
    is_number = terms.task.answers_rows
    return {name: NUMBER if is_number and name not in terms.text_columns else TEXT for name in question_columns(terms)}


def _holdout_columns(holdout: Examples, terms: ScoringTerms) -> dict[str, str]:
    """Name -> type of the holdout's columns that a question is made of."""
    if holdout.rows is not None:
        return {name: _type_of(holdout.rows[name]) for name in feature_columns(holdout.rows)}
    labels = holdout.labels
    return {} if labels is None else {name: _type_of(labels[name]) for name in question_columns(terms)}


def _question_columns(there: dict[str, str], terms: ScoringTerms) -> dict[str, str]:
    """Of a frame's columns those that a question is made of."""
    if terms.task.answers_rows:
        return {name: kind for name, kind in there.items() if name not in (*c.TABULAR_COLUMNS, c.LABEL)}
    return {name: there[name] for name in question_columns(terms) if name in there}


def _request(wanted: dict[str, str], holdout: Examples) -> dict[str, str]:
    """Name -> type of what is left of the holdout's first cell of each column when it went through JSON."""
    table = holdout.labels if holdout.rows is None else holdout.rows
    if table is None or table.empty:
        return {}
    there = {name: table[name].dropna() for name in wanted if name in table}
    row = {name: (cells if len(cells) else table[name]).iloc[0] for name, cells in there.items()}
    types = {float: NUMBER, str: TEXT}
    return {
        name: types.get(type(value), type(value).__name__)
        for name, value in json.loads(json.dumps(row, default=_plain)).items()
    }


def _plain(value: np.generic) -> object:
    return value.item()


def _type_of(values: pd.Series) -> str:
    import pandas as pd

    if pd.api.types.is_float_dtype(values):
        return NUMBER
    is_text = pd.api.types.is_string_dtype(values) or pd.api.types.infer_dtype(values, skipna=True) == TEXT
    return TEXT if is_text else str(values.dtype)


def _compare(wanted: dict[str, str], there: dict[str, str], says: str) -> list[str]:
    """What differs, a few of each kind."""
    if not wanted:
        return ["the export names no column of its requests"]
    missing, extra = ([name for name in one if name not in other] for one, other in ((wanted, there), (there, wanted)))
    if missing or extra:
        names = ", ".join([f"no {name}" for name in missing[:5]] + [f"also {name}" for name in extra[:5]])
        return [f"{says} other columns than the export needs: {names}"]
    if list(wanted) != list(there):
        return [f"{says} the columns in another order than the export needs: {', '.join(list(there)[:5])}"]
    wrong = [f"{name} as {there[name]}, not {wanted[name]}" for name in wanted if there[name] != wanted[name]]
    return [f"{says} {', '.join(wrong[:5])}"] if wrong else []


def _absent(row_columns: Sequence[str], holdout: Examples) -> list[str]:
    return [] if holdout.rows is None else [name for name in row_columns if name not in holdout.rows]
