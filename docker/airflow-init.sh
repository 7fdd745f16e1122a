#!/bin/bash
# Runs once before the Airflow services: brings the database to this version and writes the users' passwords, which Airflow's
# own login manager reads from a file that it must be able to write.
set -euo pipefail
umask 077
airflow db migrate
python - <<'PYTHON'
import json
import os
from pathlib import Path

path = Path(os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
path.write_text(json.dumps({os.environ["TITLEHOLDER_AIRFLOW_USER"]: os.environ["TITLEHOLDER_AIRFLOW_PASSWORD"]}))
PYTHON
