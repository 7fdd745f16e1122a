"""Shows, as an import error in the Airflow UI, every use-case file and suite that is wrong. Makes no DAG."""

from __future__ import annotations

from tasks.errors import ConfigurationError
from tasks.jobs.checks import find_faults
from tasks.settings import get_settings

if faults := find_faults(get_settings()):
    raise ConfigurationError("\n".join(faults))  # for airflow's import errors: no dag of a wrong use-case file exists
