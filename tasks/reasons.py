"""Errors of other programs -> ours: what is wrong, with column, type, file and row where they tell it, and what helps.

Spark, Py4J, Arrow, MLflow, Great Expectations and databases bury the reason under stacks, or tell it in words of their own.
This is the only place that knows their wording. The original is always the cause (`__cause__`) of ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tasks.errors import (
    ConfigurationError,
    ModelError,
    ServiceUnavailable,
    SourceError,
    TitleholderError,
)

LONGEST = 400
# The packages whose errors are translated. Errors of ours, and defects such as KeyError, are not.
FOREIGN = (
    "py4j",
    "pyspark",
    "pyarrow",
    "mlflow",
    "great_expectations",
    "sqlalchemy",
    "adbc_driver_manager",
    "sqlite3",
    "duckdb",
    "_duckdb",
    "pymysql",
    "psycopg",
    "fastavro",
    "requests",
)


@dataclass(frozen=True)
class Reason:
    """Why another program failed.

    what : one sentence without a full stop.
    remedy : what helps, or empty where nothing is known to.
    kind : the error of ours that it is. `TitleholderError` itself: the wording is not known, and another try may help.
    """

    what: str
    remedy: str
    kind: type[TitleholderError] = TitleholderError

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}" if self.remedy else self.what


@dataclass(frozen=True)
class _Rule:
    """A wording of another program, and what it means. Groups of the pattern fill `what` and `remedy`."""

    pattern: str
    what: str
    remedy: str
    kind: type[TitleholderError] = SourceError


_SPARK_DOWN = "Spark ended while it worked: see the log above for what ended it, and run the task again"
_RULES = (
    _Rule(
        r"No space left on device",
        "no space is left on the disk",
        "free some space, or move TITLEHOLDER_HOME",
        ServiceUnavailable,
    ),
    _Rule(
        r"java\.lang\.OutOfMemoryError|GC overhead limit|Cannot allocate memory|ArrowMemoryError|malloc of size \d+ failed",
        "there is not enough memory",
        "raise TITLEHOLDER_SPARK_DRIVER_MEMORY, or use smaller windows",
        ConfigurationError,
    ),
    _Rule(r"Permission denied: '?(?P<file>[^'\n]+)", "permission to {file} is denied", "grant it to this user"),
    # Spark
    _Rule(
        r"INCONSISTENT_BEHAVIOR_CROSS_VERSION[^']*'(?P<pattern>[^']+)' pattern in the DateTimeFormatter",
        "the pattern of times '{pattern}' is none that Spark reads",
        "write source.time_format in Spark's letters, such as yyyy-MM-dd HH:mm:ss",
        ConfigurationError,
    ),
    _Rule(
        r"reading file \S*/(?P<file>[^/\s]+)\. Data type mismatches when reading Parquet column \[(?P<column>[^\]]+)\]\. "
        r"Expected Spark type (?P<wanted>\S+), actual Parquet type (?P<found>\w+)",
        "{file}: column {column} is of Parquet's type {found}, and Spark reads it as {wanted}",
        "state the type in source.cells that it has",
    ),
    _Rule(
        r"FAILED_READ_FILE\.FILE_NOT_EXIST\][^\n]*/(?P<file>[^/\s]+)\. File does not exist",
        "{file} was removed while it was read",
        "run the task again",
        ServiceUnavailable,
    ),
    _Rule(
        r"FAILED_READ_FILE\.\w+\][^\n]*/(?P<file>[^/\s]+)\. [\s\S]*Caused by: [\w.$]+: (?P<text>[^\n]+)",
        "{file} could not be read by Spark: {text}",
        "it is damaged, or changed while it was read: deliver it again",
    ),
    _Rule(
        r"(?:AMBIGUOUS_REFERENCE|COLUMN_ALREADY_EXISTS)\][^`]*`(?P<column>[^`]+)`",
        "two columns have the name {column}, or differ in capitals only",
        "rename one of them in the source",
    ),
    _Rule(
        r"UNRESOLVED_COLUMN[^\]]*\][^`]*`(?P<column>[^`]+)` cannot be resolved(?:[^\[\n]*\[(?P<there>[^\]]*)\])?",
        "there is no column {column}, the rows have {there}",
        "correct the name in the use case or in the suite",
        ConfigurationError,
    ),
    _Rule(
        r"CAST_INVALID_INPUT\] The value '(?P<cell>[^']*)' of the type \"(?P<found>\w+)\" cannot be cast to \"(?P<wanted>\w+)",
        "the cell '{cell}' of the type {found} is no {wanted}",
        "state the type in source.cells that the cells have",
    ),
    _Rule(
        r"DATATYPE_MISMATCH[^\]]*\] Cannot resolve \"(?P<column>[^\"]+)\"",
        "{column} cannot be computed of columns of these types",
        "check the types of the columns that it names",
        ConfigurationError,
    ),
    _Rule(r"Py4JNetworkError|Answer from Java side is empty", _SPARK_DOWN, "", ServiceUnavailable),
    _Rule(r"Java gateway process exited", "Spark could not be started", "install Java 17 or later", ConfigurationError),
    # Python in Spark's workers, where our own readers refuse with a ValueError
    _Rule(r"Python worker:[\s\S]*\nValueError: (?P<text>[^\n]+)", "{text}", ""),
    _Rule(r"Python worker:[\s\S]*\n(?P<name>[\w.]*(?:Error|Invalid|Exception|Implemented)): (?P<text>[^\n]+)", "{text}", ""),
    # Arrow
    _Rule(
        r"Field '(?P<column>[^']*)'[^\n]*|No match for FieldRef\.Name\((?P<other>[^)]*)\)",
        "there is no column {column}{other}",
        "name the columns in source.cells as the file does",
    ),
    # databases
    _Rule(
        r"password authentication failed|no password supplied|Access denied for user|authentication failed",
        "the database refused the user or the password",
        "check the user in source.url, and PGPASSWORD or PGPASSFILE for PostgreSQL, MYSQL_PWD or ~/.my.cnf for MySQL",
    ),
    _Rule(
        r"Connection refused|could not connect|Can't connect|could not translate host|server closed the connection|"
        r"timeout expired|Lost connection|unable to open database file|database is locked|Cannot open database",
        "the database does not answer",
        "check that the server is up, and its address",
        ServiceUnavailable,
    ),
    _Rule(
        r"permission denied for (?:table|relation|schema) (?P<name>\S+)|"
        r"command denied to user \S+ for table [`']?(?P<other>[^`'\s]+)",
        "the user may not read {name}{other}",
        "grant SELECT on it",
    ),
    _Rule(
        r'column "?(?P<column>[^"\s]+)"? (?:of relation "[^"]+" )?does not exist|no such column: (?P<other>\S+)|'
        r"Unknown column '(?P<third>[^']+)'|Referenced column \"(?P<fourth>[^\"]+)\" not found",
        'column "{column}{other}{third}{fourth}" does not exist',
        "name the columns in source.cells as the table does",
    ),
    _Rule(
        r'relation "?(?P<name>[^\n]+?)"? does not exist|no such table: (?P<other>\S+)|'
        r"Table with name (?P<third>\S+) does not exist|Table '(?P<fourth>[^']+)' doesn't exist|"
        r"database \"(?P<fifth>[^\"]+)\" does not exist|Unknown database '(?P<sixth>[^']+)'",
        '"{name}{other}{third}{fourth}{fifth}{sixth}" does not exist',
        "check source.table, and the database in source.url",
    ),
    # MLflow
    _Rule(
        r"(?:The experiment (?P<name>\S+) must be in the 'active' state|Cannot set a deleted experiment '(?P<other>[^']+)')",
        "MLflow's experiment {name}{other} was deleted",
        "restore it with `titleholder reconcile`",
        ModelError,
    ),
    _Rule(
        r"The run (?P<name>\S+) must be in the 'active' state",
        "MLflow's run {name} was deleted",
        "restore it with `titleholder reconcile`",
        ModelError,
    ),
    _Rule(
        r"RESOURCE_DOES_NOT_EXIST:? (?P<text>[^\n]*)|(?P<other>(?:Model Version|Registered Model|Run) [^\n]*not found)",
        "MLflow does not have it any more: {text}{other}",
        "`titleholder reconcile` reports what was deleted, and restores what can be restored",
        ModelError,
    ),
    _Rule(
        r"Max retries exceeded|Read timed out|NewConnectionError",
        "a server does not answer",
        "start it with `make up`",
        ServiceUnavailable,
    ),
)
_NOISE = re.compile(
    r"^\s*(?:at |\.\.\. \d+ more|An error occurred while calling|Py4JJavaError|JVM stacktrace:|Traceback|File |==|\^)"
)
_NAMES = re.compile(r"^(?:Caused by: )?(?:[\w$]+\.)+[\w$]*(?:Exception|Error|Invalid)\w*: ")


def explain_error(error: BaseException) -> Reason:
    """Why another program failed, in our words where they are known, otherwise in the most telling line of its own."""
    return explain_text(_text_of(error))


def explain_text(text: str) -> Reason:
    """The same of what another program wrote."""
    for rule in _RULES:
        if found := re.search(rule.pattern, text):
            groups = {name: value.strip(" '\"") if value else "" for name, value in found.groupdict().items()}
            return Reason(_cut(rule.what.format(**groups)), rule.remedy, rule.kind)
    return Reason(_cut(_most_telling(text)), "")


def _text_of(error: BaseException) -> str:
    """What an error and its causes say."""
    texts, seen = [], set[int]()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        texts.append(f"{type(one).__name__}: {one}")
        one = one.__cause__ or one.__context__
    return "\n".join(texts)


def _most_telling(text: str) -> str:
    """The message of the deepest cause, or the first line that is no frame of a stack."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _NOISE.match(line)]
    causes = [line for line in lines if line.startswith("Caused by: ")]
    line = (
        causes[-1]
        if causes
        else next((one for one in lines if not one.endswith(("Error:", "Exception:"))), "no reason was given")
    )
    return _NAMES.sub("", line) or line


def _cut(text: str) -> str:
    one_line = re.sub(r"\s+", " ", text).strip().rstrip(".")
    return one_line if len(one_line) <= LONGEST else f"{one_line[:LONGEST]}..."


def is_foreign(error: BaseException) -> bool:
    """Whether an error comes from a program whose errors are translated."""
    if isinstance(error, TitleholderError):
        return False
    roots = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return bool(roots & set(FOREIGN)) or (isinstance(error, OSError) and "No space left" in str(error))


@contextmanager
def translated(where: str, *, kind: type[TitleholderError] | None = None, after: str = "") -> Iterator[None]:
    """Raise errors of other programs as ours, which begin with `where`. Other errors pass.

    Parameters
    ----------
    kind : the error of ours; None: as the reason says.
    after : what the message ends with, such as that nothing was published.
    """
    try:
        yield
    except Exception as error:
        if not is_foreign(error):
            raise
        reason = explain_error(error)
        raise (kind or reason.kind)(f"{where}: {reason}{f'. {after}' if after else ''}") from error
