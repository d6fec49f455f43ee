"""The payment gateway: a stub that charges cards. Not instrumented with otel-cx, only with OpenTelemetry.

Here bite ``payment-errors`` and ``slow-checkout``: both choose their customers by hash, so a customer who tries
again fails again.
"""

import asyncio
from random import Random

from fastapi import FastAPI, Response
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from pydantic import BaseModel

from examples.hosting import everyday, serving, settings, telemetry
from examples.hosting.everyday import Verdict
from examples.hosting.faults import Faults

SLOW_S = 4.0
"""What ``slow-checkout`` adds to a payment."""


class Charge(BaseModel):
    """A request to take money from somebody's card."""

    payer: str
    amount: str
    currency: str


def make(faults: Faults, random: Random) -> FastAPI:
    """Build the gateway."""
    app = FastAPI(openapi_url=None)

    @app.post("/charges")
    async def charge(charge: Charge, response: Response) -> dict[str, str]:
        work = everyday.draw("checkout", "payment", random)
        slow = faults.hits("slow-checkout", charge.payer)
        await asyncio.sleep(work.duration_s + (SLOW_S if slow else 0))
        if work.verdict is Verdict.FAILED or faults.hits("payment-errors", charge.payer):
            response.status_code = 502
            return {"error": "acquirer_unavailable"}
        if work.verdict is Verdict.REJECTED:
            response.status_code = 402
            return {"error": "card_declined"}
        return {"status": "captured"}

    return app


def main() -> None:
    """Run the process."""
    mine = settings.from_environment()
    telemetry.set_up("payment-gateway", mine)
    app = make(Faults(mine.home), Random(mine.seed))
    FastAPIInstrumentor.instrument_app(app, exclude_spans=["send", "receive"])
    serving.serve_asgi(app)


if __name__ == "__main__":
    main()
