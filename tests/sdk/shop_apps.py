"""Small shops in three frameworks, as a customer has them: nothing of ours, nothing of OpenTelemetry.

Run as `python shop_apps.py flask`: it is served by a real server on a free port, pays once, and ends. Not a test.
"""

import sys
import threading
from typing import Any
from urllib.request import Request, urlopen
from wsgiref.simple_server import make_server


def flask_shop() -> Any:
    import flask

    app = flask.Flask("shop")
    app.add_url_rule("/pay", view_func=lambda: "paid", methods=["POST"])
    return app


def django_shop() -> Any:
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()  # of the module that DJANGO_SETTINGS_MODULE names


def fastapi_shop() -> Any:
    import fastapi

    app = fastapi.FastAPI()

    @app.post("/pay")
    def pay() -> str:
        return "paid"

    return app


def pay(port: int) -> None:
    with urlopen(Request(f"http://127.0.0.1:{port}/pay", data=b""), timeout=10) as answer:
        sys.stdout.write(f"{answer.status}\n")


def serve_wsgi(app: Any) -> None:
    with make_server("127.0.0.1", 0, app) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        pay(server.server_port)
        server.shutdown()


def serve_asgi(app: Any) -> None:
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    socket = server.config.bind_socket()
    socket.listen()
    thread = threading.Thread(target=server.run, args=([socket],), daemon=True)
    thread.start()
    pay(socket.getsockname()[1])
    server.should_exit = True
    thread.join()


if __name__ == "__main__":
    if sys.argv[1] == "fastapi":
        serve_asgi(fastapi_shop())
    else:
        serve_wsgi({"flask": flask_shop, "django": django_shop}[sys.argv[1]]())
