"""The queue between control panel and worker: Celery over a database file, so that pip is all it needs."""

from pathlib import Path
from typing import Final

from celery import Celery

DEPLOYMENTS: Final = "deployments"

app = Celery("hosting", set_as_current=True)
app.conf.update(
    task_default_queue=DEPLOYMENTS,
    worker_enable_remote_control=False,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    result_expires=3_600,
)


def connect(home: Path) -> None:
    """Point the company's Celery at its queue; results are files, so that the control panel sees what is done."""
    results = home.resolve() / "results"
    results.mkdir(parents=True, exist_ok=True)
    app.conf.update(broker_url=f"sqla+sqlite:///{home.resolve()}/queue.sqlite", result_backend=f"file://{results}")
