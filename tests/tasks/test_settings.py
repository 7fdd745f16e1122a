"""Settings: a wrong variable is named, and no password is shown."""

from __future__ import annotations

import traceback

import pytest

from tasks.errors import ConfigurationError
from tasks.settings import get_settings


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("TITLEHOLDER_ENDPOINT_POLL_SECONDS", "soon", r"TITLEHOLDER_ENDPOINT_POLL_SECONDS: .*, got 'soon'"),
        ("TITLEHOLDER_NOTIFY_URLS", '{"mailto": "ada:hunter2@host"}', "TITLEHOLDER_NOTIFY_URLS: "),
        ("TITLEHOLDER_NOTIFY_URLS", "mailto://ada:hunter2@host", 'a variable is not the JSON that it must be: .*"notify_urls"'),
    ],
)
def test_a_wrong_variable_is_named_without_a_password(
    variable: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    get_settings.cache_clear()
    with pytest.raises(ConfigurationError, match=message) as caught:
        get_settings()
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
