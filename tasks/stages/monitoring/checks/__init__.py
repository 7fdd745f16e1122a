"""The registry of drift checks. Each is a class with a `kind`.

To add one: a module of this package with a subclass of `DriftCheck`, its line in `CHECKS`, and
`tests/tasks/stages/monitoring/checks/test_<kind>.py` with the data that it refuses. Tests and the table of documentation
find it there.
"""

from tasks.kinds import KindRegistry
from tasks.stages.monitoring.checks.base import DriftCheck

CHECKS = KindRegistry.of_modules(
    "drift check",
    DriftCheck,  # type: ignore[type-abstract]  # only its subclasses are collected
    __name__,
    (
        "distributions",
        "faults",
        "figures",
    ),
)
