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
    bool : False if there is no address, or one of them could not be reached.
    """
    _log.log(logging.INFO if level is Level.INFO else logging.WARNING, "%s: %s", title, body)
    urls = get_settings().notify_urls
    if not urls:
        return False
    import apprise

    receivers = apprise.Apprise()
    wrong = [place for place, url in enumerate(urls, start=1) if not receivers.add(url)]
    if wrong:  # addresses contain passwords: the log names their positions only
        _log.error("TITLEHOLDER_NOTIFY_URLS: apprise does not understand address number %s", ", ".join(map(str, wrong)))
    try:
        reached = receivers.notify(title=title, body=body, notify_type=level.value)
    except Exception:  # an error of a plugin must not fail the task
        _log.exception("the notification could not be sent")
        return False
    return bool(reached) and not wrong
