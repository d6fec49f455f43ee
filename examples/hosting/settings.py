"""Where a process of the platform finds the others, its files and its release. Not how journeys behave."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HOME: Final = Path(".demo")
"""Everything a run writes: logs, the queue, billing's database, the switched-on faults, the collector's data."""
SECRET: Final = "hosting-demo-secret"  # noqa: S105 a demo on loopback; a real platform reads it from a file
STABLE_RELEASE: Final = "2.3.1"
BAD_RELEASE: Final = "2.4.0"
"""What fault ``bad-deploy`` rolls out."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One process's view of the platform; the supervisor hands it down in the environment."""

    home: Path
    collector: str
    """OTLP/gRPC endpoint, ``http://host:port``."""
    collector_http: str
    """The collector's HTTP address, where facts go; empty: nobody is told of deploys and renewals."""
    panel: str
    """Base address of the control panel; likewise the three below."""
    billing: str
    gateway: str
    helpdesk: str
    release: str
    """``service.version`` of this process."""
    rate: float
    """Multiplies the attempts a minute of every journey."""
    seed: int | None
    """Makes the traffic's choices repeatable; ``None``: different people every time."""

    def environment(self) -> dict[str, str]:
        """The same settings as variables for a child process."""
        seed = "" if self.seed is None else str(self.seed)
        return {
            "HOSTING_HOME": str(self.home),
            "HOSTING_COLLECTOR": self.collector,
            "HOSTING_COLLECTOR_HTTP": self.collector_http,
            "HOSTING_PANEL": self.panel,
            "HOSTING_BILLING": self.billing,
            "HOSTING_GATEWAY": self.gateway,
            "HOSTING_HELPDESK": self.helpdesk,
            "HOSTING_RELEASE": self.release,
            "HOSTING_RATE": str(self.rate),
            "HOSTING_SEED": seed,
        }


def from_environment() -> Settings:
    """The settings a child was started with; a variable that is not set is a ``KeyError`` naming it."""
    at = os.environ
    return Settings(
        home=Path(at["HOSTING_HOME"]),
        collector=at["HOSTING_COLLECTOR"],
        collector_http=at["HOSTING_COLLECTOR_HTTP"],
        panel=at["HOSTING_PANEL"],
        billing=at["HOSTING_BILLING"],
        gateway=at["HOSTING_GATEWAY"],
        helpdesk=at["HOSTING_HELPDESK"],
        release=at["HOSTING_RELEASE"],
        rate=float(at["HOSTING_RATE"]),
        seed=int(at["HOSTING_SEED"]) if at["HOSTING_SEED"] else None,
    )
