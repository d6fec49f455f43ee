"""The pager, and what the platform tells beside its spans: who is believed, what is shown, what a failure costs."""

import json
from pathlib import Path

import pytest
from hosting.sink import Facts

from examples.hosting import facts, pager, run
from examples.hosting.faults import Faults
from examples.hosting.pager import Pager, genuine
from otel_cx_collector import inventory
from otel_cx_collector.notify.webhook import signature

NOW_S = 1_767_604_920
SECRET = "not much of a secret"  # noqa: S105 nor is it one


def heard(home: Path, now_s: float = NOW_S) -> Pager:
    pager.secret_file(home).write_text(SECRET)
    return Pager(home, Faults(home), lambda: now_s)


def take(one: Pager, body: dict[str, object], key: str = "checkout-1:1") -> int:
    raw = json.dumps(body).encode()
    return one.take("oncall", signature(SECRET, NOW_S, raw), key, raw)[0]


def message(what: str = "opened", subject: str = "P1 Checkout") -> dict[str, object]:
    notice = {"key": "checkout-1:1", "id": "checkout-1", "what": what, "severity": "P1", "at": NOW_S}
    return {"subject": subject, "text": "7 customers", "notices": [notice]}


@pytest.mark.parametrize(
    ("secret", "at_s", "body", "believed"),
    [
        (SECRET, NOW_S, b"{}", True),
        (SECRET, NOW_S - 299, b"{}", True),
        (SECRET, NOW_S - 301, b"{}", False),
        (SECRET, NOW_S + 301, b"{}", False),
        ("another secret", NOW_S, b"{}", False),
        (SECRET, NOW_S, b"{ }", False),
    ],
)
def test_only_what_was_signed_with_the_secret_and_lately_is_believed(
    secret: str, at_s: int, body: bytes, believed: bool
) -> None:
    assert genuine(SECRET, signature(secret, at_s, b"{}"), body, NOW_S) is believed


@pytest.mark.parametrize("text", ["", "t=", "v1=00", "t=²,v1=00", "t=1767604920,v1=é", "nonsense"])
def test_a_signature_that_is_none_is_not_believed(text: str) -> None:
    assert not genuine(SECRET, text, b"{}", NOW_S)


def test_a_message_that_comes_again_is_kept_twice_and_shown_once(tmp_path: Path) -> None:
    one = heard(tmp_path)
    assert [take(one, message()), take(one, message())] == [204, 204]
    assert one.page().count("<article") == 1
    assert len((tmp_path / "pager.jsonl").read_text().splitlines()) == 2


def test_what_was_told_is_still_there_after_a_restart(tmp_path: Path) -> None:
    take(heard(tmp_path), message())
    assert "7 customers" in heard(tmp_path).page()


def test_a_sign_of_life_is_shown_and_is_no_message(tmp_path: Path) -> None:
    one = heard(tmp_path)
    assert "no sign of life" in one.page()
    assert take(one, {"heartbeat": NOW_S}) == 204
    assert "a sign of life 0 s ago" in one.page()
    assert "Nobody was told anything" in one.page()


def test_what_comes_is_shown_as_text(tmp_path: Path) -> None:
    one = heard(tmp_path)
    take(one, message(subject="<script>alert(1)</script>"))
    assert "<script>" not in one.page()


def test_the_collectors_copy_of_the_inventory_has_the_pager_of_this_run(tmp_path: Path) -> None:
    copy = inventory.load(run.inventory(tmp_path, 12345))
    hooks = [channel.webhook for channel in copy.notify.values() if channel.webhook]
    assert len(hooks) == 3
    for hook in hooks:
        assert hook.url.startswith("http://127.0.0.1:12345/")
        assert hook.secret_file == str(tmp_path / pager.SECRET_FILE)


def test_a_collector_that_is_not_there_is_said_and_stops_nothing() -> None:
    said: list[str] = []
    assert not facts.post("http://127.0.0.1:9", [facts.deploy("billing", "1.0", NOW_S)], said.append, tries=1)
    assert "did not take" in said[0]


def test_contracts_end_in_the_days_to_come() -> None:
    door = Facts()
    try:
        assert facts.post(door.address, facts.renewals(NOW_S), print)
    finally:
        door.close()
    assert [line["due"] for line in door.lines[:2]] == ["2026-01-11", "2026-01-16"]
    assert len({line["account"] for line in door.lines}) == len(facts.NAMES)
