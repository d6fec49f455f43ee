"""Stories as text and as HTML, from templates. Not what they say, and not how a channel carries them."""

from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from otel_cx_collector.notify.story import Story, headline

_TEMPLATES: Final = Environment(
    loader=PackageLoader("otel_cx_collector.notify"),
    autoescape=select_autoescape(("html",)),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def text(stories: tuple[Story, ...]) -> str:
    """A message as plain text, subject first."""
    return _TEMPLATES.get_template("message.txt").render(headline=headline(stories), stories=stories)


def html(stories: tuple[Story, ...]) -> str:
    """A message as one HTML document that loads nothing."""
    return _TEMPLATES.get_template("message.html").render(headline=headline(stories), stories=stories)
