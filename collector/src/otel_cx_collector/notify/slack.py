"""A message to a Slack incoming webhook, in Block Kit with a plain text beside it. Not a bot.

What comes from outside stands in ``plain_text`` objects, where nothing is markup and nobody can be mentioned; in
``mrkdwn`` stands only what we write, with ``&``, ``<`` and ``>`` escaped as Slack asks.
"""

import json
import ssl
from typing import Any, Final

from otel_cx_collector.inventory.decisions import Slack
from otel_cx_collector.notify.line import Line
from otel_cx_collector.notify.post import post
from otel_cx_collector.notify.secret import read_secret
from otel_cx_collector.notify.story import Story, headline, story_of
from otel_cx_collector.notify.targets import parse
from otel_cx_collector.notify.words import Parcel, Sent

MAX_HEADER: Final = 150
"""Characters of a header block (Slack's limit)."""
MAX_FIELD: Final = 2000
"""Characters of a field (Slack's limit)."""
MAX_FIELDS: Final = 10
"""Of one section (Slack's limit); label and text take one each."""
MAX_SECTION: Final = 3000
"""Characters of a section's text (Slack's limit)."""
MAX_LINK: Final = 1400
"""Characters of an address, escaped, so that two fit into a text of 3000; a longer one is left out."""
MAX_BLOCKS: Final = 50
"""Of one message (Slack's limit)."""
SHORTENED: Final = 2
"""Of several incidents in one message: lines of each that are shown, the first ones."""


class SlackChannel:
    """One incoming webhook of the inventory."""

    def __init__(self, config: Slack, allow: tuple[str, ...], tls: ssl.SSLContext) -> None:
        self._config = config
        self._allow = allow
        self._tls = tls

    def send(self, parcel: Parcel, line: Line) -> Sent:
        """Tell it. Raises Retry or Refused."""
        url = read_secret(self._config.webhook_url_file)
        target = parse(url, self._allow)
        body = json.dumps(message_of(tuple(map(story_of, parcel.notices))), sort_keys=True).encode()
        post(target, {}, body, line, self._tls, parcel.now_s, hide=(url, target.path))
        return Sent()


def message_of(stories: tuple[Story, ...]) -> dict[str, Any]:
    """The message as Slack takes it."""
    line = headline(stories)
    blocks = [{"type": "header", "text": _plain(line, MAX_HEADER)}]
    if len(line) > MAX_HEADER:
        blocks.append({"type": "section", "text": _plain(line, MAX_SECTION)})
    for story in stories:
        blocks += _blocks(story, alone=len(stories) == 1)
    kept = blocks[:MAX_BLOCKS]
    if len(blocks) > MAX_BLOCKS:
        kept[-1] = {"type": "section", "text": _plain("And more: see otel-cx.", MAX_SECTION)}
    return {"text": escaped(line), "blocks": kept, "unfurl_links": False, "unfurl_media": False}


def escaped(text: str) -> str:
    """A text in which Slack sees no link, mention or channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _blocks(story: Story, *, alone: bool) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if not alone:
        blocks.append({"type": "section", "text": _plain(story.subject, MAX_SECTION)})
    if story.advice:
        blocks.append({"type": "section", "text": _plain(f"Do first: {story.advice}", MAX_SECTION)})
    lines = story.lines if alone else story.lines[:SHORTENED]
    fields = [_plain(text, MAX_FIELD) for line in lines for text in line]
    blocks += [{"type": "section", "fields": fields[at : at + MAX_FIELDS]} for at in range(0, len(fields), MAX_FIELDS)]
    named = ((escaped(story.link), "Open"), (escaped(story.runbook), "Runbook"))
    links = [f"<{link}|{name}>" for link, name in named if 0 < len(link) <= MAX_LINK]
    if links:
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": " · ".join(links)}]})
    return blocks


def _plain(text: str, limit: int) -> dict[str, Any]:
    kept = text if len(text) <= limit else f"{text[: limit - 1]}…"
    return {"type": "plain_text", "text": kept, "emoji": False}
