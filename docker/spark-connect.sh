#!/bin/bash
# The Spark Connect server, in the foreground. Its settings are those of tasks/io/spark.py; arguments are added to them.
set -euo pipefail
exec "$SPARK_HOME/sbin/start-connect-server.sh" --wait \
    --conf spark.connect.grpc.binding.address=0.0.0.0 \
    --conf spark.connect.grpc.binding.port=15002 \
    --conf spark.ui.enabled=false \
    --conf spark.log.level=WARN \
    --conf spark.sql.session.timeZone=UTC \
    --conf spark.sql.shuffle.partitions=2 \
    --conf spark.sql.execution.arrow.pyspark.enabled=true \
    --conf spark.sql.ansi.enabled=false \
    --conf spark.sql.legacy.javaCharsets=true \
    "$@"
