from pathlib import Path

import pytest

from otel_cx_collector.errors import UserError
from otel_cx_collector.receive import Access
from otel_cx_collector.receive.auth import Tokens
from otel_cx_collector.receive.listen import Address, listen_address

TOKEN = "0123456789abcdef"  # noqa: S105 - opens nothing but the servers of these tests
OTHER = "fedcba9876543210"


def tokens(path: Path, text: str) -> Tokens:
    file = path / "tokens"
    file.write_text(text, encoding="utf-8")
    return Tokens.load(Access(token_file=file))


def test_without_a_token_file_everybody_is_admitted() -> None:
    assert Tokens.load(Access()).admit(None)


@pytest.mark.parametrize("header", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"BEARER {OTHER}", f"Bearer  {TOKEN} "])
def test_any_token_of_the_file_is_admitted_and_the_scheme_is_case_insensitive(tmp_path: Path, header: str) -> None:
    assert tokens(tmp_path, f"{TOKEN}\n\n{OTHER}\n").admit(header)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        TOKEN,
        f"Basic {TOKEN}",
        f"Bearer {TOKEN}0",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN.upper()}",
        f"Bearer {TOKEN}, Bearer {OTHER}",
        f"Bearer {TOKEN}\x80",
        "Bearer \ud800",
        f"Bearer {TOKEN}\n{OTHER}",
    ],
)
def test_everything_else_is_not_admitted(tmp_path: Path, header: str | None) -> None:
    assert not tokens(tmp_path, f"{TOKEN}\n{OTHER}\n").admit(header)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        (f"{TOKEN}\nshort\n", ":2: a token of 5 characters"),
        ("with space 0123456789\n", ":1: a token of 21 characters"),
        ("zażółć-gęślą-jaźń\n", ":1: a token of 17 characters"),
    ],
)
def test_a_bad_token_file_is_an_error_that_never_shows_a_token(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        tokens(tmp_path, text)
    assert not text.strip() or text.rsplit(maxsplit=1)[-1] not in str(caught.value)


def test_a_token_file_that_is_not_there_is_an_error_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        Tokens.load(Access(token_file=tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [
        ("127.0.0.1:4317", Address("127.0.0.1", 4317)),
        ("127.8.8.8:0", Address("127.8.8.8", 0)),
        ("localhost:4318", Address("localhost", 4318)),
        ("[::1]:4317", Address("::1", 4317)),
    ],
)
def test_loopback_addresses_need_no_authentication(endpoint: str, address: Address) -> None:
    assert listen_address(endpoint, Access()) == address
    assert str(address) == endpoint


@pytest.mark.parametrize("endpoint", ["0.0.0.0:4317", "[::]:4317", "192.0.2.1:4317", "collector.internal:4317"])
def test_an_open_address_is_refused_until_something_guards_it(tmp_path: Path, endpoint: str) -> None:
    with pytest.raises(UserError, match=r"token_file .* allow_unauthenticated"):
        listen_address(endpoint, Access())

    assert listen_address(endpoint, Access(allow_unauthenticated=True)).port == 4317
    assert listen_address(endpoint, Access(token_file=tmp_path / "tokens")).port == 4317


@pytest.mark.parametrize(
    "endpoint",
    ["", "4317", ":4317", "host", "host:", "host:x", "host:-1", "host:65536", "::1:4317", "[host]:1", "[]:1"],
)
def test_what_is_no_address_is_refused_with_how_to_write_one(endpoint: str) -> None:
    with pytest.raises(UserError, match=r"is not host:port; write it like 127.0.0.1:4317 or \[::1\]:4317"):
        listen_address(endpoint, Access(allow_unauthenticated=True))
