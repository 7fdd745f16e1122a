"""A button on a task's page in Airflow. It opens the page that the task made."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperatorLink, get_current_context

_MADE = "page_made"


class PageLink(BaseOperatorLink):  # type: ignore[misc]
    """The button of one task; its address is empty where the task made no page."""

    xcom_key = "page_link"

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Airflow calls this once, in the worker at the end of the task, with the running task instance."""
        return ti_key.xcom_pull(task_ids=operator.task_id, key=_MADE) or ""


def with_page(task: Any, name: str) -> Any:
    """The task with a button of that name."""
    task.operator.operator_extra_links = (PageLink(name),)
    return task


def show_page(address: str) -> None:
    """Set the address that the button of the current task opens."""
    get_current_context()["ti"].xcom_push(key=_MADE, value=address)
