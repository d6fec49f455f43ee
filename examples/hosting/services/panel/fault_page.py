"""A page that breaks the platform and mends it: plain forms, no script. Not for a platform anybody depends on."""

from html import escape
from urllib.parse import parse_qsl, urlsplit

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from examples.hosting.faults import FAULTS, Fault, Faults, On, share_of
from examples.hosting.people import REGIONS

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Break the hosting platform</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem; }}
form {{ border: 1px solid #8888; border-radius: .5rem; padding: .75rem 1rem; margin: .75rem 0; }}
form.on {{ border: 2px solid #c33; }}
h2 {{ font-size: 1.1rem; margin: 0; }} p {{ margin: .25rem 0 .5rem; }}
input {{ width: 5rem; }}
</style></head>
<body><h1>Break the hosting platform</h1>
<p>Each switch breaks the running services for real customers of this example; the collector's page shows who is hurt.
The same from a terminal: <code>python -m examples.hosting.faults</code></p>
{forms}
<form method="post" action="/faults"><input type="hidden" name="fault" value="all">
<button name="state" value="off">Mend everything</button></form>
</body></html>"""

FORM = """<form method="post" action="/faults" class="{state}">
<h2>{name}: {state}</h2><p>{says}</p>
<input type="hidden" name="fault" value="{name}">
<label>share of {of} <input name="share" type="number" min="0.01" max="1" step="0.01" value="{share}"></label>
{region}<button name="state" value="on">Switch on</button> <button name="state" value="off">Switch off</button>
</form>"""


def make(faults: Faults) -> APIRouter:
    """Build the page."""
    router = APIRouter()

    @router.get("/faults", response_class=HTMLResponse)
    def page() -> str:
        on = faults.on()
        return PAGE.format(forms="\n".join(_form(fault, on.get(fault.name)) for fault in FAULTS.values()))

    @router.post("/faults")
    async def switch(request: Request) -> RedirectResponse:
        _same_origin(request)
        form = dict(parse_qsl((await request.body()).decode()))
        try:
            _switch(faults, form)
        except (KeyError, ValueError) as error:
            raise HTTPException(400, f"cannot switch with {form}: {error!r}; use the forms of /faults") from error
        return RedirectResponse("/faults", status_code=303)

    return router


def _switch(faults: Faults, form: dict[str, str]) -> None:
    if form["state"] == "off":
        faults.off(None if form["fault"] == "all" else form["fault"])
        return
    faults.switch(FAULTS[form["fault"]].name, share_of(form["share"]), form.get("region", "eu"))


def _same_origin(request: Request) -> None:
    """Refuse a form that another site's page sends with the visitor's browser."""
    origin = request.headers.get("origin")
    if origin and urlsplit(origin).netloc != request.headers.get("host"):
        raise HTTPException(403, f"a page of {origin} may not switch faults here")


def _form(fault: Fault, on: On | None) -> str:
    region = ""
    if fault.name == "login-region":
        chosen = on.region if on else "eu"
        options = "".join(f"<option{' selected' * (name == chosen)}>{name}</option>" for name in REGIONS)
        region = f'<label>region <select name="region">{options}</select></label> '
    return FORM.format(
        name=fault.name,
        state="on" if on else "off",
        says=escape(fault.says),
        of=escape(fault.of),
        share=on.share if on else fault.share,
        region=region,
    )
