"""Billing's client of the payment gateway. Not the gateway."""

import requests

from examples.hosting.services.billing.database import Cart


class CardDeclinedError(Exception):
    """The customer's bank said no: their side, not ours."""


class GatewayUnavailableError(Exception):
    """The gateway could not take the money."""


class Gateway:
    """Takes money by HTTP; one connection pool for all threads."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._session = requests.Session()

    def charge(self, cart: Cart) -> None:
        """Charge a cart; raises CardDeclinedError or GatewayUnavailableError."""
        body = {"payer": cart.payer, "amount": cart.amount, "currency": cart.currency}
        try:
            answer = self._session.post(f"{self._address}/charges", json=body, timeout=15)
        except requests.RequestException as error:
            raise GatewayUnavailableError(f"no answer from the gateway: {error}") from error
        if answer.status_code == requests.codes.payment_required:
            raise CardDeclinedError(answer.json()["error"])
        if not answer.ok:
            raise GatewayUnavailableError(f"the gateway answered {answer.status_code}")
