"""Every part of every benchmark runs at its smallest size, and its result file records the run."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.runner import Benchmark, Part, describe_run, find_benchmarks, main, merge, run
from tasks.code_version import get_code_version
from tasks.settings import ROOT

pytestmark = pytest.mark.timeout(900)  # some parts start a Spark cluster or servers, and a machine can be busy

BENCHMARKS = find_benchmarks()
PARTS = [
    pytest.param(name, part, id=f"{name}-{part}", marks=[getattr(pytest.mark, mark) for mark in benchmark.parts[part].starts])
    for name, benchmark in BENCHMARKS.items()
    for part in benchmark.parts
]


@pytest.fixture(autouse=True)
def spark_where_it_is_needed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts share the session of the tests. No part reads real data."""
    monkeypatch.delenv("TITLEHOLDER_DATA", raising=False)
    if request.node.get_closest_marker("jvm"):
        request.getfixturevalue("spark")


@pytest.mark.servers
@pytest.mark.parametrize(("name", "part"), PARTS)
def test_each_part_runs_at_its_smallest_size(name: str, part: str) -> None:
    benchmark = BENCHMARKS[name]
    if missing := benchmark.parts[part].missing:
        pytest.skip(f"needs {', '.join(missing)} on the PATH")
    figures = benchmark.measure(part, benchmark.smallest)
    assert figures, "a part without figures measures nothing"
    json.dumps(figures, default=float)


def test_every_package_holds_a_benchmark() -> None:
    packages = {path.parent.name for path in (ROOT / "benchmarks").glob("*/__init__.py")}
    assert packages == set(BENCHMARKS)
    for name, benchmark in BENCHMARKS.items():
        assert benchmark.name == name and benchmark.parts
        assert (ROOT / "benchmarks" / name / "__main__.py").is_file(), f"python -m benchmarks.{name} does not run"
        assert benchmark.smallest != benchmark.full, f"{name} has no smallest size"


def test_only_the_tests_of_benchmarks_import_them() -> None:
    importing = [
        path.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("*.py") if "from benchmarks" in path.read_text()
    ]
    assert {path.parts[0] for path in importing} == {"benchmarks"}


# the runner


@dataclass(frozen=True)
class Size:
    rounds: int


def made_benchmark(**published: Any) -> Benchmark[Any]:
    return Benchmark(
        name="made",
        parts={
            "one": Part(lambda size: {"seconds": 1.5, "table": {"a": {"seconds": float(size.rounds)}}}),
            "two": Part(lambda size: {"table": {"b": {"seconds": 2.0}}}),
            "unexplained": Part(lambda size: {"mystery": 1.0}),
            "absent": Part(lambda size: {}, programs=("no-such-program",)),
        },
        full=Size(5),
        smallest=Size(1),
        meaning={"seconds": "seconds", "table": "by row"},
        **published,
    )


def test_each_part_records_its_run(tmp_path: Path) -> None:
    benchmark = made_benchmark()
    run(benchmark, ["one"], size=benchmark.full, folder=tmp_path)
    run(benchmark, ["two"], size=benchmark.smallest, folder=tmp_path)
    found = json.loads((tmp_path / "made.json").read_text())
    assert found["seconds"] == 1.5 and found["table"] == {"a": {"seconds": 5.0}, "b": {"seconds": 2.0}}
    assert set(found["records"]) == {"one", "two"}
    record = found["records"]["one"]
    assert record["commit"] == get_code_version() and record["size"] == {"rounds": 5}
    assert record["cores"] >= 1 and record["memory_gb"] > 0 and record["cpu"] and record["system"] and record["python"]
    assert len(record["load_before"]) == len(record["load_after"]) == 3 and record["seconds"] >= 0
    assert record["date"].endswith("+00:00")
    assert found["records"]["two"]["size"] == {"rounds": 1}


def test_a_subject_alone_records_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.runner.FOLDER", tmp_path)
    main(["one", "--smallest"], made_benchmark())
    found = json.loads((tmp_path / "smallest" / "made.json").read_text())
    assert set(describe_run()) < set(found["records"]["one"])


def test_figures_need_a_meaning_and_parts_their_programs() -> None:
    benchmark = made_benchmark()
    with pytest.raises(KeyError, match="made unexplained: figures without a meaning: mystery"):
        benchmark.measure("unexplained", benchmark.smallest)
    with pytest.raises(SystemExit, match="made absent needs no-such-program on the PATH"):
        benchmark.measure("absent", benchmark.smallest)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(SystemExit, match="no benchmark 'speed'; the benchmarks are: backtest, calibration, dags, data"):
        main(["speed"])
    with pytest.raises(SystemExit, match="gate has no part speed; the parts are: costs, "):
        main(["gate-speed"])


def test_documents_name_parts_that_exist() -> None:
    text = "".join(path.read_text() for path in (ROOT / "docs").rglob("*.md"))
    named = [match.split("-", 1) for match in re.findall(r"`make bench-([a-z-]+)`", text)]
    named += [[name, *parts.split()] for name, parts in re.findall(r"`python -m benchmarks\.(\w+)((?: \w+)*)`", text)]
    assert len(named) > 5
    for name, *parts in named:
        assert {part.replace("-", "_") for part in parts} <= set(BENCHMARKS[name].parts), f"{name}: {parts}"


def test_tables_of_several_runs_are_merged() -> None:
    assert merge({"a": 1, "t": {"x": {"v": 1}}}, {"a": 2, "t": {"y": {"v": 3}}}) == {
        "a": 2,
        "t": {"x": {"v": 1}, "y": {"v": 3}},
    }


def test_figures_are_published_after_each_part(tmp_path: Path) -> None:
    seen: list[tuple[str, list[str], str]] = []
    benchmark = made_benchmark(publish=lambda part, figures, document, path: seen.append((part, list(figures), path.name)))
    run(benchmark, ["one", "two"], size=benchmark.full, folder=tmp_path)
    assert seen == [("one", ["seconds", "table"], "made.json"), ("two", ["table"], "made.json")]


def test_results_of_models_are_drawn_and_logged(store: Path) -> None:
    from tasks.io import tracking

    row = {"ndcg_at_10": 0.4, "low": 0.3, "high": 0.5, "fit_seconds": 2.0, "settings": "default"}
    figures: dict[str, Any] = {"rec_ndcg_at_10": 0.4, "recommenders_table": {"als": row, "ease": {**row, "ndcg_at_10": 0.5}}}
    publish = BENCHMARKS["models"].publish
    assert publish is not None
    publish("lists", figures, figures, store / "models.json")
    assert (store / "models.png").stat().st_size > 0
    experiment = tracking.get_client().get_experiment_by_name("benchmark_models")
    runs = tracking.get_client().search_runs([experiment.experiment_id])
    assert sorted(run.info.run_name for run in runs) == ["als", "ease", "lists"]
