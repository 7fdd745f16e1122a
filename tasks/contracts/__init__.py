"""Frozen values that stages pass to each other and that Airflow stores between tasks, by subject.

All values are frozen, refuse unknown fields, and convert to JSON and back without loss (`to_json`, `from_json`).
"""
