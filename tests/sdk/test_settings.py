"""Settings and keys are checked when the process starts, and say what to do; secrets are never shown."""

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_cx import ConfigurationError, Settings, semconv
from otel_cx.pseudonym import Keyring

SECRET = "0123456789abcdef"  # noqa: S105 - of the tests


def test_nothing_set_is_the_safe_edge() -> None:
    assert Settings.from_env({}) == Settings()
    assert Settings().trust == "none"
    assert not Settings().egress_hosts


def test_every_setting_is_read_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"# rotated in May\nk2:{SECRET}\n\nk1:{SECRET[::-1]}\n")
    settings = Settings.from_env(
        {
            "OTELCX_TRUST": " Signed ",
            "OTELCX_BROWSER_ATTEMPT": "true",
            "OTELCX_EGRESS_HOSTS": "billing, *.internal,",
            "OTELCX_EGRESS_DESTINATIONS": "deployments",
            "OTELCX_CLUSTER_SUFFIXES": ".cluster.example",
            "OTELCX_KEY_FILE": str(tmp_path / "key"),
        }
    )
    assert settings.trust == "signed"
    assert settings.browser_attempt is True
    assert settings.egress_hosts == ("billing", "*.internal")
    assert settings.egress_destinations == ("deployments",)
    assert settings.cluster_suffixes == (".cluster.example",)
    assert settings.keys is not None
    assert settings.keys.active == "k2"


def test_what_the_code_says_goes_before_the_environment() -> None:
    environ = {"OTELCX_TRUST": "signed", "OTELCX_KEY": f"k1:{SECRET}"}
    assert Settings.from_env(environ, trust="all").trust == "all"
    assert Settings.from_env(environ, trust="all", keys=None).keys is None


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"OTELCX_TRUST": "some"}, r"trust is 'some'\. Use one of: none, signed, all"),
        ({"OTELCX_TRUST": "signed"}, "no key to verify with"),
        ({"OTELCX_BROWSER_ATTEMPT": "perhaps"}, r"OTELCX_BROWSER_ATTEMPT is 'perhaps'\. Use true or false"),
        ({"OTELCX_CLUSTER_SUFFIXES": "svc"}, r"Write '\.svc'"),
        ({"OTELCX_KEY": f"k1:{SECRET}", "OTELCX_KEY_FILE": "/x"}, "both set"),
        ({"OTELCX_KEY_FILE": "/nowhere/key"}, "'/nowhere/key' cannot be read"),
        ({"OTELCX_KEY": "# nothing"}, "The key is empty"),
        ({"OTELCX_KEY": "just-a-secret-of-length"}, "not '<key id>:<secret>'"),
        ({"OTELCX_KEY": f"key id:{SECRET}"}, "1 to 16 of A-Z"),
        ({"OTELCX_KEY": "k1:short-secret"}, "12 bytes, which can be guessed"),
    ],
)
def test_a_setting_that_cannot_be_used_says_what_to_do(environ: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as raised:
        Settings.from_env(environ)
    assert "just-a-secret" not in str(raised.value)
    assert "short-secret" not in str(raised.value)


def test_a_string_for_a_list_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="Use a tuple"):
        Settings(egress_hosts="billing")  # type: ignore[arg-type]  # the mistake under test


def test_secrets_are_not_in_the_representation() -> None:
    keys = Keyring.parse(f"k1:{SECRET}")
    assert SECRET not in repr(keys)
    assert SECRET not in repr(Settings(keys=keys))


@given(st.text())
def test_a_pseudonym_has_its_shape_whatever_the_id(raw: str) -> None:
    pseudonym = Keyring.parse(f"k1:{SECRET}").pseudonym(raw)
    assert semconv.PSEUDONYM.fullmatch(pseudonym)
    assert semconv.VALUE.fullmatch(pseudonym), "so it survives baggage"


def test_a_pseudonym_is_hmac_sha_256_over_the_raw_id() -> None:
    """RFC 4231, test case 2, its short key lengthened by the zero bytes with which HMAC pads it."""
    digest = bytes.fromhex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    keys = Keyring({"k1": b"Jefe" + bytes(12)})
    expected = base64.urlsafe_b64encode(digest)[:22].decode()
    assert keys.pseudonym("what do ya want for nothing?") == f"k1.{expected}"


def test_the_same_id_differs_by_key_and_an_old_key_only_verifies() -> None:
    old = Keyring.parse(f"k1:{SECRET}")
    both = Keyring.parse(f"k2:{SECRET[::-1]}\nk1:{SECRET}")
    assert old.pseudonym("user-42") != both.pseudonym("user-42")
    assert both.pseudonym("user-42").startswith("k2.")
    assert both.verify({"a": "b"}, old.sign({"a": "b"}))
    assert not old.verify({"a": "b"}, both.sign({"a": "b"}))


def test_no_pseudonym_is_a_signature() -> None:
    keys = Keyring.parse(f"k1:{SECRET}")
    assert not keys.verify({"a": "b"}, keys.pseudonym("a=b"))


@given(st.dictionaries(st.sampled_from(semconv.CONTEXT), st.from_regex(semconv.VALUE, fullmatch=True)))
def test_a_signature_does_not_depend_on_order_and_covers_every_member(members: dict[str, str]) -> None:
    keys = Keyring.parse(f"k1:{SECRET}")
    signature = keys.sign(members)
    assert keys.verify(dict(reversed(members.items())), signature)
    for name, changed in members.items():
        assert not keys.verify({**members, name: changed + "x"}, signature)
        assert not keys.verify({other: value for other, value in members.items() if other != name}, signature)
