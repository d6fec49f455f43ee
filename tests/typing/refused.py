"""Mistakes that both type checkers have to find: each line that is marked, and no other. Never run."""

from decimal import Decimal

import otel_cx
from otel_cx.testing import Journeys

checkout = otel_cx.journey("checkout")


@checkout.step("payment")
def pay(amount: int, *, currency: str = "EUR") -> str:
    return f"{amount} {currency}"


@checkout.step("confirm")
async def confirm(order: str) -> bytes:
    return order.encode()


class Shop:
    @checkout.step("price")
    def price(self, article: str) -> Decimal:
        return Decimal(len(article))


pay("5")  # type: ignore[arg-type]  # an argument of another type
pay(5, "USD")  # type: ignore[call-arg]  # by position what goes by name
number: int = pay(5)  # type: ignore[assignment]  # another type comes back
text: bytes = confirm("o-1")  # type: ignore[assignment]  # not awaited
Shop().price(5)  # type: ignore[arg-type]  # of a method
otel_cx.carry(pay)("5")  # type: ignore[arg-type]  # carried as well
otel_cx.journey("checkout", revenue="new")  # type: ignore[call-arg]  # no dimension
checkout.step("payment", rejects=(42,))  # type: ignore[arg-type]  # no exception class
checkout.step("payment")(42)  # type: ignore[type-var]  # no function
otel_cx.identify(customer="u", tier="gold")  # type: ignore[call-arg]  # no dimension
otel_cx.Settings(trust="some")  # type: ignore[arg-type]  # no such trust

with checkout.step("confirm") as step:
    step.revenue(None, "EUR")  # type: ignore[arg-type]  # no amount
    step.decline()  # type: ignore[attr-defined]  # no such outcome


def test_pay(journeys: Journeys) -> None:
    journeys.assert_step("checkout/payment", state="ok")  # type: ignore[call-arg]  # no such question
