"""The endpoint under load, beside its peers. wrk makes the load (Debian: apt-get install wrk)."""

from __future__ import annotations

from benchmarks.endpoint.faults import measure_kills, measure_memory, measure_schema, measure_swaps
from benchmarks.endpoint.load import Size
from benchmarks.endpoint.scaling import measure_catalogue, measure_workers
from benchmarks.endpoint.speed import measure_speed, measure_top_k
from benchmarks.runner import Benchmark, Part

SERVERS, WRK = ("servers",), ("wrk",)

BENCHMARK = Benchmark(
    name="endpoint",
    parts={
        "speed": Part(measure_speed, starts=SERVERS, programs=WRK),
        "top_k": Part(measure_top_k, starts=SERVERS, programs=WRK),
        "swaps": Part(measure_swaps, starts=SERVERS, programs=WRK),
        "kills": Part(measure_kills, starts=SERVERS),
        "memory": Part(measure_memory, starts=SERVERS, programs=WRK),
        "schema": Part(measure_schema, starts=SERVERS),
        "workers": Part(measure_workers, starts=SERVERS, programs=WRK),
        "catalogue": Part(measure_catalogue, starts=SERVERS, programs=WRK),
    },
    full=Size(),
    smallest=Size(
        seconds=1.0,
        rounds=1,
        top_k_items=1_000,
        top_k_users=40,
        swaps=2,
        kills=1,
        requests=100,
        schema_examples=1,
        workers=(1, 2),
        catalogues=(1_000,),
    ),
    meaning={
        "rps_c8": "requests a second, logistic regression on 30 features, one row, 8 connections",
        "rps_c64": "the same, 64 connections",
        "p99_ms_c8": "its p99",
        "p99_ms_c64": "the same at 64 connections",
        "rps_ratio_mlflow_c8": "requests a second over `mlflow models serve` of the same model and signature (at least 40)",
        "rps_ratio_mlflow_c64": "the same at 64 connections (at least 40)",
        "p99_ratio_mlflow_c8": "p99 over that of `mlflow models serve` (at most 0.1)",
        "p99_ratio_mlflow_c64": "the same at 64 connections (at most 0.1)",
        "rps_ratio_mlflow_unchecked_c8": "requests a second over `mlflow models serve` without a signature: it checks nothing",
        "rps_ratio_mlflow_unchecked_c64": "the same at 64 connections",
        "p99_ratio_mlflow_unchecked_c8": "p99 over that of `mlflow models serve` without a signature",
        "p99_ratio_mlflow_unchecked_c64": "the same at 64 connections",
        "bare_ratio": "requests a second of a bare Starlette route with bodies of the same size, over ours (at most 3)",
        "topk_100k_rps": "top 10 of 100,000 items of 64 factors, folded in, 8 connections: requests a second",
        "topk_100k_p99_ms": "its p99 (at most 10)",
        "topk_100k_recall": "recall of the exact top 10 (at least 0.99)",
        "swaps": "promotions under load at 64 connections",
        "swap_failed": "requests that failed meanwhile (0)",
        "swap_mixed": "answers that mix two models (0)",
        "swap_p99_ratio": "p99 with swaps over p99 without (at most 2)",
        "kill_rows": "rows that were acknowledged by all processes",
        "kill_lost_rows": "acknowledged rows that are lost beyond the stated window (0)",
        "kill_lost_within_window": "rows that are lost within it",
        "kill_oldest_lost_ms": "time from the acknowledgement of the oldest lost row to the kill",
        "kill_doubled_rows": "rows that are in the log twice (0)",
        "schemathesis_requests": "requests that schemathesis made of the OpenAPI document",
        "schemathesis_5xx": "answers of 500 and more among them, except for training runs: there is no Airflow (0)",
        "schemathesis_undocumented": "kinds of answers that the document does not describe (0)",
        "rss_growth_mb": "growth of memory over the requests, good and bad (at most 20)",
        "workers": "top 10 of 100,000 items, 32 connections: requests a second, times one worker, memory, and its shared part",
        "parallel_share": "share of the work that workers do in parallel, fitted by Amdahl's law",
        "catalogue": "top 10, one worker, 8 connections, by the number of items",
        "cores": "cores of the machine; the load takes a part of them",
    },
)
