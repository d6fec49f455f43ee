"""Notices go where the configuration says and nowhere else."""

import ipaddress
import socket
import ssl
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from notify_targets import NOW, HttpTarget, answer

from otel_cx_collector.notify.line import Line, Patience
from otel_cx_collector.notify.post import post
from otel_cx_collector.notify.targets import METADATA, parse, permitted
from otel_cx_collector.notify.words import Retry

CALM = Patience(5, 20, 30)


def send(url: str, allow: tuple[str, ...] = (), tls: ssl.SSLContext | None = None) -> None:
    with Line(CALM) as line:
        post(parse(url, allow), {}, b"{}", line, tls or ssl.create_default_context(), NOW)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "0.0.0.0",
        "168.63.129.16", "100.100.100.200", "224.0.0.1", "255.255.255.255", "192.0.2.1",
        "::1", "::", "fe80::1", "fe80::1%eth0", "fd00::1", "fd00:ec2::254", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::",
        "2001:0:0:0:0:0:80ff:fffe",
    ],
)  # fmt: skip
def test_private_addresses_are_refused_in_every_disguise(address: str) -> None:
    assert not permitted(address, "hooks.example", ())


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_are_permitted(address: str) -> None:
    assert permitted(address, "hooks.example", ())


@given(st.ip_addresses())
def test_whatever_is_not_global_is_refused_unless_its_range_is_listed(address: Any) -> None:
    if not address.is_global:
        assert not permitted(str(address), "hooks.example", ())
    assert permitted(str(address), "hooks.example", ("0.0.0.0/0", "::/0"))


def test_an_address_in_disguise_is_listed_by_its_range() -> None:
    for disguised in ("::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::"):
        assert permitted(disguised, "hooks.example", ("10.0.0.0/8",))


def test_a_listed_name_may_be_private_but_not_a_metadata_service() -> None:
    assert permitted("10.0.0.7", "hooks.internal", ("HOOKS.internal",))
    assert not permitted("10.0.0.7", "other.internal", ("hooks.internal",))
    assert not any(permitted(str(each.network_address), "hooks.internal", ("hooks.internal",)) for each in METADATA)
    assert permitted("169.254.169.254", "hooks.internal", ("169.254.169.254",))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example/", "file:///etc/passwd", "gopher://a.example", "https://", "https:///path", "//a.example",
        "https://user:hunter2@a.example/", "https://a.example:99999/", "https://a.example/\r\nX: y", "https://ä.example/",
        "https://[::1/", "http://a.example\\@b.example/ x",
    ],
)  # fmt: skip
def test_other_schemes_users_and_broken_addresses_are_refused_without_being_shown(url: str) -> None:
    with pytest.raises(Retry) as caught:
        parse(url, ())

    assert caught.value.mend
    assert "hunter2" not in str(caught.value)
    assert "passwd" not in str(caught.value)


def test_the_path_of_an_address_is_in_no_text() -> None:
    assert "T000/B000" not in repr(parse("https://hooks.slack.com/services/T000/B000/XXXX", ()))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "127.1"])
def test_nothing_is_sent_to_this_machine_unless_it_is_listed(host: str) -> None:
    with HttpTarget(answer(200)) as target:
        with pytest.raises(Retry, match=r"allow_private|looked up"):
            send(f"http://{host}:{target.port}/")

        assert target.requests == []
        send(f"http://127.0.0.1:{target.port}/x?y=1", ("127.0.0.0/8",))
        assert [each.path for each in target.requests] == ["/x?y=1"]


def test_a_name_is_looked_up_once_and_the_address_that_was_checked_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = socket.getaddrinfo

    def rebinding(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host != "rebinding.test":
            return real(host, port, *args, **kwargs)
        asked.append(host)
        return real("127.0.0.1" if len(asked) == 1 else "169.254.169.254", port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    with HttpTarget(answer(200)) as target:
        send(f"http://rebinding.test:{target.port}/", ("127.0.0.1",))

        assert asked == ["rebinding.test"]
        assert target.requests[0].headers["host"] == f"rebinding.test:{target.port}"


def test_the_certificate_is_verified_for_the_name_although_the_address_is_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *args, **kwargs: real(str(host).replace("hooks.test", "127.0.0.1"), *args, **kwargs),
    )
    authority = trustme.CA()
    client, right, wrong = (ssl.create_default_context(), *(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for _ in "ab"))
    authority.configure_trust(client)
    authority.issue_cert("hooks.test").configure_cert(right)
    authority.issue_cert("other.test").configure_cert(wrong)

    with HttpTarget(answer(200), tls=right) as target:
        send(f"https://hooks.test:{target.port}/", ("hooks.test",), client)
        assert len(target.requests) == 1
    with HttpTarget(answer(200), tls=wrong) as target:
        with pytest.raises(Retry, match="certificate verify failed"):
            send(f"https://hooks.test:{target.port}/", ("hooks.test",), client)
        with pytest.raises(Retry, match="certificate verify failed"):
            send(f"https://hooks.test:{target.port}/", ("hooks.test",))
        assert target.requests == []


def test_a_redirect_to_a_private_address_is_not_followed() -> None:
    with HttpTarget(answer(200)) as inner, HttpTarget(answer(302, Location=f"{inner.url}/secret-path")) as outer:
        with pytest.raises(Retry, match=r"302, a redirect to 127\.0\.0\.1") as caught:
            send(outer.url, ("127.0.0.1",))

        assert caught.value.mend
        assert "secret-path" not in str(caught.value)
        assert inner.requests == []


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with HttpTarget(answer(200)) as proxy, HttpTarget(answer(200)) as target:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        send(target.url, ("127.0.0.1",))

        assert (len(proxy.requests), len(target.requests)) == (0, 1)


def test_ranges_of_metadata_services_are_ranges() -> None:
    assert ipaddress.ip_address("169.254.169.254") in METADATA[0]
