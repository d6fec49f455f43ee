"""Faults of the example platform: who is hit, and what the command line says. Not what they do to the services."""

from pathlib import Path

import pytest

from examples.hosting import faults, people
from examples.hosting.faults import FAULTS, Faults

IDS = [people.customer(number).id for number in range(2_000)]


def test_a_fault_hits_its_share_of_customers_and_the_same_ones_each_time(tmp_path: Path) -> None:
    broken = Faults(tmp_path)
    broken.switch("payment-errors", 0.4)
    hit = {customer for customer in IDS if broken.hits("payment-errors", customer)}
    assert 0.36 < len(hit) / len(IDS) < 0.44
    assert hit == {customer for customer in IDS if Faults(tmp_path).hits("payment-errors", customer)}


def test_a_larger_share_hits_everybody_a_smaller_one_hit(tmp_path: Path) -> None:
    broken = Faults(tmp_path)
    broken.switch("payment-errors", 0.1)
    few = {customer for customer in IDS if broken.hits("payment-errors", customer)}
    broken.switch("payment-errors", 0.4)
    assert all(broken.hits("payment-errors", customer) for customer in few)


def test_two_faults_choose_their_customers_apart(tmp_path: Path) -> None:
    broken = Faults(tmp_path)
    for name in ("payment-errors", "slow-checkout"):
        broken.switch(name, 0.5)
    both = sum(all(broken.hits(name, customer) for name in ("payment-errors", "slow-checkout")) for customer in IDS)
    assert 0.2 < both / len(IDS) < 0.3


def test_nothing_is_hit_before_anything_is_switched_on(tmp_path: Path) -> None:
    assert not Faults(tmp_path / "never-made").on()


def test_switching_one_fault_off_leaves_the_others(tmp_path: Path) -> None:
    broken = Faults(tmp_path)
    broken.switch("stuck-queue")
    broken.switch("bad-deploy")
    broken.off("stuck-queue")
    assert set(broken.on()) == {"bad-deploy"}
    broken.off()
    assert not broken.on()


def test_the_command_line_switches_what_another_process_then_sees(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faults.main(["--home", str(tmp_path), "payment-errors", "on", "--share", "40%"])
    assert Faults(tmp_path).share("payment-errors") == 0.4
    assert "payment-errors  on  40% of customers" in capsys.readouterr().out
    faults.main(["--home", str(tmp_path), "off", "all"])
    assert not Faults(tmp_path).on()


def test_the_list_names_every_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faults.main(["--home", str(tmp_path), "list"])
    said = capsys.readouterr().out
    assert all(name in said for name in FAULTS)


@pytest.mark.parametrize(
    ("words", "cure"),
    [
        (["payment-eror", "on"], "there are: payment-errors"),
        (["payment-errors"], "say 'on' or 'off'"),
        (["payment-errors", "maybe"], "say 'on' or 'off'"),
        (["on"], "there are: payment-errors"),
        (["payment-errors", "on", "--share", "4"], "invalid"),
        (["login-region", "on", "--region", "moon"], "choose from"),
    ],
)
def test_a_mistake_on_the_command_line_is_answered_with_the_cure(
    words: list[str], cure: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        faults.main(["--home", str(tmp_path), *words])
    assert left.value.code == 2
    assert cure in capsys.readouterr().err
    assert not Faults(tmp_path).on()
