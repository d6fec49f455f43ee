"""The built files of the page: hashed names, kept by browsers for good, sent as they were compressed at build time."""

import json
import re
from pathlib import Path
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from otel_cx_collector.errors import UserError

FOLDER: Final = Path(__file__).with_name("static")
TYPES: Final = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
FOREVER: Final = "public, max-age=31536000, immutable"
ENCODINGS: Final = (("br", ".br"), ("gzip", ".gz"))


class Static:
    """ASGI app for ``/static``: a closed set of files, read once. Raises UserError when they were never built."""

    def __init__(self, folder: Path = FOLDER) -> None:
        try:
            self.names: dict[str, str] = json.loads((folder / "manifest.json").read_text())
        except FileNotFoundError as missing:
            raise UserError(
                f"the page's files are not in {folder}; build them with `python collector/hatch_build.py`,"
                " or install a released wheel"
            ) from missing
        self._files = {
            file.name: file.read_bytes() for file in folder.iterdir() if file.suffix in {*TYPES, ".br", ".gz"}
        }

    def url(self, source: str) -> str:
        """Address of what was built from ``main.ts`` or ``style.css``."""
        return f"/static/{self.names[source]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one file, in the best encoding the browser takes."""
        await self._answer(scope)(scope, receive, send)

    def _answer(self, scope: Scope) -> Response:
        if scope["method"] not in {"GET", "HEAD"}:
            return PlainTextResponse("Static files are read with GET.\n", 405, {"Allow": "GET, HEAD"})
        name = scope["path"].rpartition("/")[2]
        kind = TYPES.get(Path(name).suffix)
        if kind is None or name not in self._files:
            return PlainTextResponse("There is no such file; reload the page.\n", 404)
        headers = {"Cache-Control": FOREVER, "Vary": "Accept-Encoding"}
        accepted = accepted_encodings(Headers(scope=scope).get("accept-encoding", ""))
        for encoding, suffix in ENCODINGS:
            if encoding in accepted and name + suffix in self._files:
                return Response(
                    self._files[name + suffix], headers=headers | {"Content-Encoding": encoding}, media_type=kind
                )
        return Response(self._files[name], headers=headers, media_type=kind)


def accepted_encodings(header: str) -> frozenset[str]:
    """Codings of Accept-Encoding that are not refused with ``q=0`` (RFC 9110, 12.5.3)."""
    parts = (part.replace(" ", "").lower().partition(";") for part in header.split(","))
    return frozenset(coding for coding, _, quality in parts if not re.fullmatch(r"q=0(\.0*)?", quality))
