"""The pipeline: jobs, stages, problems, metrics, models and adapters. Nothing in here imports Airflow."""
