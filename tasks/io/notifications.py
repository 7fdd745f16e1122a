"""Adapter: notifications of people. The receivers are a setting: addresses of the library apprise (mail, chat, pager)."""

from __future__ import annotations

import logging
from enum import StrEnum

from tasks.settings import get_settings

_log = logging.getLogger(__name__)


class Level(StrEnum):
    """The level of a notification; the values are apprise's."""

    INFO = "info"
    WARNING = "warning"
    FAILURE = "failure"


def notify(title: str, body: str, *, level: Level = Level.INFO) -> bool:
    """Send a notification to every address of `TITLEHOLDER_NOTIFY_URLS`, and log it.

    Never raises: a notification that cannot be sent must not fail the task that it reports on.

    Returns
    -------
    bool : whether an address received it. False also if there is no address.
    """
    _log.log(logging.INFO if level is Level.INFO else logging.WARNING, "%s: %s", title, body)
    sent = [_send(place, url, title, body, level) for place, url in enumerate(get_settings().notify_urls, start=1)]
    return any(sent)


def _send(place: int, url: str, title: str, body: str, level: Level) -> bool:
    """Send to one address. Addresses contain passwords, so the log names their positions only."""
    import apprise

    receiver = apprise.Apprise()
    if not receiver.add(url):
        _log.error("TITLEHOLDER_NOTIFY_URLS: apprise does not understand address number %s", place)
        return False
    try:
        reached = bool(receiver.notify(title=title, body=body, notify_type=level.value))
    except Exception:  # an error of a plugin must not fail the task
        _log.exception("TITLEHOLDER_NOTIFY_URLS: the plugin of address number %s failed", place)
        return False
    if not reached:
        _log.error("TITLEHOLDER_NOTIFY_URLS: address number %s was not reached", place)
    return reached
