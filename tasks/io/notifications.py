"""Seam: telling people. Where to is this machine's setting, as addresses of the library apprise (mail, chat, pager)."""

from __future__ import annotations

import logging
from enum import StrEnum

from tasks.settings import get_settings

_log = logging.getLogger(__name__)


class Tone(StrEnum):
    """How a message is to be taken; the names are apprise's."""

    INFO = "info"
    WARNING = "warning"
    FAILURE = "failure"


def tell(title: str, body: str, tone: Tone = Tone.INFO) -> bool:
    """Tell everybody that `TITLEHOLDER_NOTIFY_URLS` names; False where nobody is named or somebody could not be reached.

    Never raises: what a message is about matters more than that it arrived. It is in the log in any case.
    """
    _log.log(logging.INFO if tone is Tone.INFO else logging.WARNING, "%s: %s", title, body)
    urls = get_settings().notify_urls
    if not urls:
        return False
    import apprise

    there = apprise.Apprise()
    wrong = [place for place, url in enumerate(urls, start=1) if not there.add(url)]
    if wrong:  # the addresses hold passwords: their place is told, and not what they are
        _log.error("TITLEHOLDER_NOTIFY_URLS: apprise does not understand number %s", ", ".join(map(str, wrong)))
    try:
        reached = there.notify(title=title, body=body, notify_type=tone.value)
    except Exception:  # a plugin's own fault must not fail what it tells of
        _log.exception("the notification could not be sent")
        return False
    return bool(reached) and not wrong
