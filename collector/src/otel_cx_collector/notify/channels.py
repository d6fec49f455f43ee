"""The sender of each kind of channel. Not their talk."""

import ssl
from typing import Protocol

from otel_cx_collector.inventory.decisions import Channel
from otel_cx_collector.notify.alertmanager import AlertmanagerChannel
from otel_cx_collector.notify.email import EmailChannel
from otel_cx_collector.notify.line import Line
from otel_cx_collector.notify.pagerduty import PagerDutyChannel
from otel_cx_collector.notify.slack import SlackChannel
from otel_cx_collector.notify.webhook import WebhookChannel
from otel_cx_collector.notify.words import Parcel, Sent


class Sender(Protocol):
    """One target of the inventory."""

    def send(self, parcel: Parcel, line: Line) -> Sent:
        """Tell it; when it returns the target has taken it. Raises Retry or Refused."""
        ...


def sender_of(channel: Channel, tls: ssl.SSLContext) -> Sender:
    """What sends to a channel; its address is not looked at before it is used."""
    allow = channel.allow_private
    if channel.pagerduty is not None:
        return PagerDutyChannel(channel.pagerduty, allow, tls)
    if channel.slack is not None:
        return SlackChannel(channel.slack, allow, tls)
    if channel.alertmanager is not None:
        return AlertmanagerChannel(channel.alertmanager, allow, tls)
    if channel.email is not None:
        return EmailChannel(channel.email, allow, tls)
    if channel.webhook is not None:
        return WebhookChannel(channel.webhook, allow, tls)
    raise ValueError("a channel without a target; the inventory refuses such")
