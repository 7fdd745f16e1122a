#!/bin/bash
# Runs when the database volume is empty: one database and one owner each for Airflow, MLflow and the ledger, so that none can
# write in another's.
set -euo pipefail
for name in airflow mlflow titleholder; do
    variable="${name^^}_DB_PASSWORD"
    psql --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
        --set name="$name" --set password="${!variable}" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
done
