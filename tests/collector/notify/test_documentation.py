"""What the how-to says is so."""

import re
import ssl
from pathlib import Path
from typing import Any

from notify_targets import NOW, HttpTarget, answer, notice

from otel_cx_collector.inventory import parse
from otel_cx_collector.inventory.decisions import MAX_RECIPIENTS, Channel
from otel_cx_collector.notify import alertmanager, backoff, courier, post, route, secret, webhook, worker
from otel_cx_collector.notify.channels import sender_of
from otel_cx_collector.notify.line import Line, Patience
from otel_cx_collector.notify.pagerduty import SEVERITY
from otel_cx_collector.notify.words import Parcel

DOCS = Path(__file__).parents[3] / "docs"
HOW_TO = (DOCS / "how-to" / "notifications.md").read_text()
TEXT = " ".join(HOW_TO.split())


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", HOW_TO, re.MULTILINE | re.DOTALL)


def test_the_example_is_read() -> None:
    (example,) = blocks("yaml")
    assert len(parse(example, pending=()).notify) == 6


def test_the_example_verifies_what_is_sent_and_nothing_else(tmp_path: Path) -> None:
    (example,) = blocks("python")
    names: dict[str, Any] = {}
    exec(example, names)  # noqa: S102 - the example is to be run
    verified = names["verified"]
    (tmp_path / "key").write_text("a secret\n")
    with HttpTarget(answer(200)) as target, Line(Patience()) as line:
        config = {"webhook": {"url": target.url, "secret_file": str(tmp_path / "key")}, "allow_private": ["127.0.0.1"]}
        sender_of(Channel.model_validate(config), ssl.create_default_context()).send(Parcel((notice(),), NOW), line)
        (request,) = target.requests
    signature = request.headers["otelcx-signature"]

    assert verified(b"a secret", signature, request.body, NOW + 299)
    assert not verified(b"a secret", signature, request.body, NOW + 301)
    assert not verified(b"a secret", signature, request.body + b" ", NOW)
    assert not verified(b"another", signature, request.body, NOW)
    for broken in ("", "t=1", "v1=aa", "t=x,v1=y", f"t={NOW},v1=ü", signature.replace("v1=", "v1=0")):
        assert not verified(b"a secret", broken, request.body, NOW)


def test_the_figures_are_those_in_force() -> None:
    for said in (
        f"at most {secret.MAX_SECRET} bytes",
        f"within {backoff.LONGEST_S // 60} minutes after it was mended",
        f"every {backoff.LONGEST_S // 60} min: somebody",
        f"at most {backoff.FIRST_S} s, 10 s, 20 s ... {backoff.LONGEST_S // 60} min",
        f"after at most {post.RETRY_AFTER_MAX_S // 60} min",
        f"{', '.join(map(str, sorted(post.WRONG)))}; SMTP 5yz",
        f"{', '.join(map(str, sorted(post.BUSY)))}, 500 and above",
        f"for {backoff.GIVE_UP_S // 3600} h, and at least {backoff.GIVE_UP_TRIES} tries",
        f"no {post.MAX_ANSWER} bytes are read",
        f"along within {worker.HOLD_S} seconds",
        f"at most {worker.MAX_TOGETHER}; `group_wait: 0s`",
        f"`group_wait` (`{route.GROUP_WAIT_S}s`)",
        f"every {alertmanager.RESEND_S} s and lasts {alertmanager.LASTS_S // 3600} h more",
        f"end within {courier.STOP_S:g} s",
        f"more than {webhook.MAX_BODY >> 20} MiB",
        f"connecting may take {Patience().connect_s} s, a silence {Patience().read_s} s",
        f"everything {Patience().total_s} s",
        ", ".join(f"{ours} {theirs}" for ours, theirs in SEVERITY.items()),
    ):
        assert said in TEXT


def test_the_reference_says_how_many_recipients_there_may_be() -> None:
    assert f"`to` * (1 to {MAX_RECIPIENTS})" in (DOCS / "reference" / "inventory.md").read_text()
