"""In which order: one function per Airflow task. A job takes a `Run` first, calls stages, and returns a reference.

Nothing here imports Airflow. What a task knows from Airflow (form, events, moments) comes as plain values.
"""
