"""The billing process: checkout in three steps and the opening of accounts. Not the control panel in front of it.

Journey, attempt and customer arrive as baggage from the control panel, which this service believes (``trust=all``).
"""

import time
from decimal import Decimal
from random import Random

from flask import Flask, Response, jsonify, request
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from sqlalchemy import Engine
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

import otel_cx
from examples.hosting import everyday, serving, settings, telemetry
from examples.hosting.everyday import NEXT_PLAN_EUR, Verdict
from examples.hosting.faults import Faults
from examples.hosting.services.billing import database
from examples.hosting.services.billing.database import Account, Cart
from examples.hosting.services.billing.gateway import CardDeclinedError, Gateway, GatewayUnavailableError

checkout = otel_cx.journey("checkout")
signup = otel_cx.journey("signup", revenue_class="new")


class BookkeepingError(Exception):
    """The books could not be written."""


class Billing:
    """What billing does, each method one step of a journey."""

    def __init__(self, engine: Engine, gateway: Gateway, random: Random) -> None:
        self._engine = engine
        self._gateway = gateway
        self._random = random

    @checkout.step("cart")
    def fill_cart(self, cart_id: str, payer: str, plan: str) -> None:
        """Put the next plan into a cart."""
        self._work("checkout", "cart")
        with Session(self._engine) as session, session.begin():
            session.merge(Cart(id=cart_id, payer=payer, amount=NEXT_PLAN_EUR[plan], currency="EUR", state="open"))

    @checkout.step("payment", rejects=(CardDeclinedError,))
    def pay(self, cart_id: str) -> None:
        """Take the money; no database connection is held while the gateway thinks."""
        with Session(self._engine, expire_on_commit=False) as session:
            cart = session.get_one(Cart, cart_id)
        self._gateway.charge(cart)
        with Session(self._engine) as session, session.begin():
            session.get_one(Cart, cart_id).state = "paid"

    def confirm(self, cart_id: str) -> None:
        """Switch the plan on; the money counts here, when the customer has what they paid for."""
        with checkout.step("confirm") as step:
            self._work("checkout", "confirm")
            with Session(self._engine) as session, session.begin():
                cart = session.get_one(Cart, cart_id)
                cart.state = "done"
                step.revenue(Decimal(cart.amount), cart.currency)

    @signup.step("account")
    def open_account(self, account_id: str, email: str) -> None:
        """Open the account of a new customer."""
        self._work("signup", "account")
        with Session(self._engine) as session, session.begin():
            session.merge(Account(id=account_id, email=email))

    def _work(self, journey: str, step: str) -> None:
        work = everyday.draw(journey, step, self._random)
        time.sleep(work.duration_s)
        if work.verdict is Verdict.FAILED:
            raise BookkeepingError(f"{step}: the ledger did not answer")


def make(billing: Billing) -> Flask:
    """Build the application: routes in, status codes out."""
    app = Flask("billing")

    @app.post("/carts")
    def carts() -> Response:
        billing.fill_cart(**request.get_json())
        return jsonify(ok=True)

    @app.post("/payments")
    def payments() -> Response:
        billing.pay(**request.get_json())
        return jsonify(ok=True)

    @app.post("/orders")
    def orders() -> Response:
        billing.confirm(**request.get_json())
        return jsonify(ok=True)

    @app.post("/accounts")
    def accounts() -> Response:
        billing.open_account(**request.get_json())
        return jsonify(ok=True)

    statuses: dict[type[Exception], int] = {
        CardDeclinedError: 402,
        GatewayUnavailableError: 502,
        PoolTimeoutError: 503,
        BookkeepingError: 500,
    }
    for kind, status in statuses.items():
        app.register_error_handler(kind, lambda error, status=status: (jsonify(error=type(error).__name__), status))
    return app


def main() -> None:
    """Run the process."""
    mine = settings.from_environment()
    telemetry.set_up_with_journeys("billing", mine, trust="all")
    RequestsInstrumentor().instrument()
    engine = database.connect(mine.home)
    SQLAlchemyInstrumentor().instrument(engine=engine)
    database.observe(engine, telemetry.set_up_metrics("billing", mine))
    database.Reports(engine, Faults(mine.home)).start()
    app = make(Billing(engine, Gateway(mine.gateway), Random(mine.seed)))
    FlaskInstrumentor().instrument_app(app)  # type: ignore[no-untyped-call]  # the instrumentation has no types
    serving.serve_wsgi(app)


if __name__ == "__main__":
    main()
