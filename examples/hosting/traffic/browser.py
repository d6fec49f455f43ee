"""One person's browser for one attempt: cookies, headers, patience. Not where they click."""

from dataclasses import dataclass

from httpx import AsyncClient, RequestError, Response, TimeoutException

from examples.hosting.people import USER_AGENTS, Customer


class LeftError(Exception):
    """The person has closed the page."""


@dataclass(frozen=True, slots=True)
class Browser:
    """Sends requests as one person's browser; all share one pool of connections."""

    client: AsyncClient
    headers: dict[str, str]
    patience_s: float

    async def send(self, method: str, url: str, form: object = None, patience_s: float | None = None) -> Response:
        """Ask and wait for the answer as long as the person does; raises LeftError when that was too long."""
        wait_s = patience_s or self.patience_s
        try:
            return await self._once(method, url, form, wait_s)
        except RequestError:  # a connection that was being closed: browsers try that again by themselves
            try:
                return await self._once(method, url, form, wait_s)
            except RequestError as error:
                raise LeftError(f"cannot reach {url}: {error!r}") from error

    async def _once(self, method: str, url: str, form: object, patience_s: float) -> Response:
        try:
            return await self.client.request(method, url, json=form, headers=self.headers, timeout=patience_s)
        except TimeoutException as error:
            raise LeftError(f"waited {patience_s:.0f} s for {url}") from error


def headers(customer: Customer, attempt: str, cookie: str) -> dict[str, str]:
    """What a browser sends with every request of an attempt."""
    return {"user-agent": USER_AGENTS[customer.device], "cookie": cookie, "x-attempt": attempt}
