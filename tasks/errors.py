"""The error tree. Every message says what, where, what is allowed and what came, and names the remedy.

TitleholderError
├── ConfigurationError       a use-case file, a suite or the environment is wrong: nothing was started
├── SourceError              a raw file is missing, unreadable, or of another format: nothing was ingested
├── ValidationFailed         the data broke a batch rule, or too many rows broke a row rule: nothing downstream runs
├── SnapshotError            a data set snapshot is missing or does not match its digest
├── NotEnoughData            a split, a model or a check has too few rows to be meaningful
├── LeakageFound             a split's features know what they must not: the future, or the target
├── ModelError               a served model is broken, forged, or does not fit its data
├── PromotionRefused         the ledger refused a promotion or a rollback (stale, already done, lost a race, no approval)
├── ServiceUnavailable       a server (MLflow, Airflow, the endpoint) did not answer in time
└── NothingToDo              a job ended without work, which is a normal outcome: its task is skipped
"""


class TitleholderError(Exception):
    """Base of all errors that this project raises on purpose."""


class ConfigurationError(TitleholderError):
    """A use-case file, a suite or the environment is wrong; nothing was started."""


class SourceError(TitleholderError):
    """A raw file is missing, unreadable or of another format; nothing was ingested."""


class ValidationFailed(TitleholderError):
    """The data broke a batch rule, or more rows than the tolerance broke a row rule."""


class SnapshotError(TitleholderError):
    """A data set snapshot is missing or does not match its digest."""


class NotEnoughData(TitleholderError):
    """Too few rows to split, fit or judge anything meaningful."""


class LeakageFound(TitleholderError):
    """The features of a split know what they must not; nothing was published."""


class ModelError(TitleholderError):
    """A served model is broken, forged, or does not fit the data that it was given."""


class PromotionRefused(TitleholderError):
    """The ledger refused: the request was stale, already done, unapproved, or lost a race."""


class ServiceUnavailable(TitleholderError):
    """A server (MLflow, Airflow, the endpoint) did not answer in time."""


class NothingToDo(TitleholderError):
    """A job ended without work. A normal outcome: the task and what depends on it are skipped, with this reason."""
