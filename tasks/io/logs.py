"""Logs of a task: the lines of this project, and of libraries only warnings that need an action."""

from __future__ import annotations

import logging
import os
import warnings

LIBRARIES = (
    "alembic",
    "evidently",
    "fontTools",
    "great_expectations",
    "httpcore",
    "httpx",
    "matplotlib",
    "mlflow",
    "numexpr",
    "optuna",
    "py4j",
    "pyspark",
    "urllib3",
)
VARIABLES = {
    "MLFLOW_LOGGING_LEVEL": "WARNING",  # MLflow sets the level of its loggers when it is imported
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # `tasks.io.tracking` logs the address
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "TQDM_DISABLE": "1",
}
OURS = r"(tasks|serving|titleholder|dags)\b"
HINTS = (  # of MLflow, attributed to our code because we call it: our wrapper has a signature and no type hints on purpose
    r"(?s).*Add type hints to the `predict` method",
    r"(?s).*An input example was not provided",
    r"(?s)Hint: Inferred schema contains integer column",
)


class _NoChatter(logging.Filter):
    """Drops what libraries log below WARNING. As a filter, because some of their loggers set a level of their own."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING or record.name.partition(".")[0] not in LIBRARIES


def quiet_libraries() -> None:
    """Silence what libraries write into the log of a task. Call it before they are imported; again changes nothing.

    Information of libraries, their progress bars and their Python warnings are dropped. Their logged warnings and errors
    stay, and so does everything of this project.
    """
    for name, value in VARIABLES.items():
        os.environ.setdefault(name, value)
    logging.getLogger("tasks").setLevel(logging.INFO)
    for handler in logging.getLogger().handlers:
        if not any(isinstance(one, _NoChatter) for one in handler.filters):
            handler.addFilter(_NoChatter())
    warnings.filterwarnings("ignore")
    warnings.filterwarnings("default", module=OURS)
    for text in HINTS:
        warnings.filterwarnings("ignore", message=text)
