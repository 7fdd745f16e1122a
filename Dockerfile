# Airflow with all tasks, and the Spark Connect server: one image, because Spark runs this project's Python where a task asks
# it to, and both must have the same packages.
FROM python:3.11.14-slim-bookworm AS packages
RUN python -m venv /opt/venv
COPY requirements.txt docker/requirements-production.txt /build/
RUN /opt/venv/bin/pip install --no-cache-dir --require-hashes -r /build/requirements.txt -r /build/requirements-production.txt

FROM python:3.11.14-slim-bookworm
# libopenblas halves the time of ALS; procps is what Spark's start script calls.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends openjdk-17-jre-headless libopenblas0-pthread procps tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --create-home titleholder \
    && install --directory --owner titleholder --group titleholder /var/lib/titleholder /var/lib/airflow /var/lib/airflow/logs
COPY --from=packages /opt/venv /opt/venv
WORKDIR /app
COPY docker/airflow-init.sh docker/spark-connect.sh /usr/local/bin/
COPY conf conf
COPY expectations expectations
COPY tasks tasks
COPY serving serving
COPY titleholder titleholder
COPY dags dags
ARG CODE_VERSION
# One thread for each sum: it is made in the same order on every run.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1 \
    MLFLOW_DISABLE_TELEMETRY=true \
    SPARK_HOME=/opt/venv/lib/python3.11/site-packages/pyspark \
    PYSPARK_PYTHON=/opt/venv/bin/python \
    AIRFLOW_HOME=/var/lib/airflow \
    TITLEHOLDER_HOME=/var/lib/titleholder \
    TITLEHOLDER_CODE_VERSION=$CODE_VERSION
USER titleholder
ENTRYPOINT ["tini", "--"]
CMD ["airflow", "version"]
