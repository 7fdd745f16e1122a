"""When things happen. No pandas, no mlflow, no business rule: a task body imports, calls and returns a reference."""
