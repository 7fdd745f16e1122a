"""What the pipeline does. Rooms with one public verb each; nothing in here imports Airflow."""
