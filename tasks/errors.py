"""The exceptions of this project. A message says what is wrong and where, what was expected, what came, and what to do.

TitleholderError
├── ConfigurationError       a use-case file, a suite, a setting or an argument is wrong
├── SourceError              a raw file is missing, unreadable or of another format
├── ValidationFailed         the data broke a batch rule, or too many rows broke a row rule
├── SnapshotError            a data set snapshot is missing or does not match its digest
├── NotEnoughData            a split, a model or a check has too few rows
├── LeakageFound             the features of a split contain the future or the target
├── ModelError               a served model is broken, forged, or does not fit its data
├── PromotionRefused         a promotion or a rollback was refused
├── ServiceUnavailable       a server (MLflow, Airflow, the endpoint) did not answer in time
└── NothingToDo              a job ended without work, which is a normal outcome: its task is skipped

    try:
        entry = promote(approval, run, ledger)
    except PromotionRefused as error:
        print(f"the champion stays: {error}")
"""


class TitleholderError(Exception):
    """The base of all exceptions of this project."""


class ConfigurationError(TitleholderError):
    """A use-case file, a suite, a setting or an argument is wrong, and nothing was started."""


class SourceError(TitleholderError):
    """A raw file is missing, unreadable or of another format, and nothing was ingested."""


class ValidationFailed(TitleholderError):
    """The data broke a batch rule, or more rows than the tolerance broke a row rule."""


class SnapshotError(TitleholderError):
    """A data set snapshot is missing or does not match its digest."""


class NotEnoughData(TitleholderError):
    """There are too few rows to split, fit or judge."""


class LeakageFound(TitleholderError):
    """The features of a split contain the future or the target, and nothing was published."""


class ModelError(TitleholderError):
    """A served model is broken, forged, or does not fit its data."""


class PromotionRefused(TitleholderError):
    """A promotion or a rollback was refused: stale, already done, not approved, or overtaken by another one."""


class ServiceUnavailable(TitleholderError):
    """A server (MLflow, Airflow, the endpoint) did not answer in time."""


class NothingToDo(TitleholderError):
    """A job ended without work. A normal outcome: the task and what depends on it are skipped, with this reason."""
