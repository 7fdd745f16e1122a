"""Shows, as an import error in the Airflow UI, every use-case file that could not be read. Makes no DAG."""

from __future__ import annotations

from tasks.errors import ConfigurationError
from tasks.use_case import list_use_cases, load_use_case

faults = []
for name in list_use_cases():
    try:
        load_use_case(name)
    except ConfigurationError as error:
        faults.append(str(error))
if faults:
    raise ConfigurationError("\n".join(faults))  # for airflow's import errors: no dag of these use cases exists
