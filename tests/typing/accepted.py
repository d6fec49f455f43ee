"""A user's program that both type checkers, in their strictest mode, have to accept. Run by test_typing.py alone."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import assert_type

import otel_cx
from otel_cx.testing import Clock, Journeys, RecordedStep, recording

checkout = otel_cx.journey("checkout", revenue_class="new")
assert_type(checkout, otel_cx.Journey)


@checkout.step("payment", rejects=(ValueError,))
def pay(amount: int, *, currency: str = "EUR") -> str:
    return f"{amount} {currency}"


@checkout.attempt("cart-42")
@checkout.step("confirm")
async def confirm(order: str) -> bytes:
    return order.encode()


@checkout.step("export")
def rows(count: int) -> Iterator[int]:
    yield from range(count)


@checkout
async def chunks(count: int) -> AsyncIterator[str]:
    yield str(count)


class Shop:
    @checkout.step("price")
    def price(self, article: str) -> Decimal:
        return Decimal(len(article))

    @checkout.step("of")
    @classmethod
    def of(cls, name: str) -> "Shop":
        del name
        return cls()


kept: Callable[..., str] = pay
assert_type(pay(5, currency="USD"), str)
assert_type(rows(3), Iterator[int])
assert_type(chunks(3), AsyncIterator[str])
assert_type(Shop().price("book"), Decimal)
assert_type(Shop.of("x"), Shop)
awaited: Awaitable[bytes] = confirm("o-1")

with checkout.attempt("cart-42"), checkout.step("confirm") as step:
    assert_type(step, otel_cx.Step)
    step.revenue(Decimal("129.00"), "EUR")
    step.reject("card_declined")
    step.fail("timeout", recoverable=True)

otel_cx.identify(customer=42, account="a", segment="enterprise", plan="pro", region="eu")
assert_type(otel_cx.diagnostics(), dict[str, int])

with ThreadPoolExecutor() as pool:
    assert_type(list(pool.map(otel_cx.carry(pay), [1, 2])), list[str])

settings = otel_cx.Settings(trust="all", egress_hosts=("billing",))
by_cookie = otel_cx.asgi.cookie("cart", issue=True)
by_header = otel_cx.wsgi.header("x-cart")


def test_pay(journeys: Journeys) -> None:
    assert_type(journeys.assert_step("checkout/payment", outcome="ok"), RecordedStep)
    journeys.clock.advance(0.5)


with recording(settings, clock=Clock()) as recorded:
    assert_type(recorded.steps("checkout"), list[RecordedStep])
