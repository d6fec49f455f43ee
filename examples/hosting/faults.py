"""What can be broken while the platform runs, and the command that does it. Not the breaking itself.

The state is one small JSON file that every process reads; each service asks it at the place where the fault bites.

    python -m examples.hosting.faults list
    python -m examples.hosting.faults payment-errors on --share 0.4
    python -m examples.hosting.faults payment-errors off
    python -m examples.hosting.faults off all
"""

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final

from examples.hosting.people import REGIONS
from examples.hosting.settings import HOME

REREAD_S: Final = 0.2
"""A switched fault is felt within this time; reading the file on every request would be wasteful."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that can be broken."""

    name: str
    share: float
    """Share it takes when switched on without one."""
    of: str
    """What the share is a share of."""
    says: str
    """What happens, and what the page should show."""


FAULTS: Final = {
    fault.name: fault
    for fault in (
        Fault("payment-errors", 0.4, "customers", "The payment gateway answers 502: checkout fails at payment."),
        Fault("slow-checkout", 0.5, "customers", "Payments take 4 s more: slow, and half of those who wait give up."),
        Fault("login-region", 0.9, "customers of one region", "The region's directory is down: login fails there."),
        Fault("saturated-pool", 0.6, "time", "Billing's database connections are all taken: checkout and sign-up."),
        Fault("busy-pool", 0.85, "connections", "Billing's database looks full, yet nobody waits: no incident."),
        Fault("stuck-queue", 1.0, "-", "The worker stops consuming: deployments start but never go live."),
        Fault("bad-deploy", 0.5, "customers", "Control panel 2.4.0 is rolled out; it fails at publishing DNS changes."),
        Fault("silent-pager", 1.0, "-", "The pager answers 503: notices wait, and arrive when it is mended."),
    )
}


@dataclass(frozen=True, slots=True)
class On:
    """A fault that is switched on."""

    share: float
    region: str
    """Only ``login-region`` looks at it."""


class Faults:
    """The switched-on faults as a process sees them: read again when the file has changed."""

    def __init__(self, home: Path) -> None:
        self.path = home / "faults.json"
        self._read_at = -REREAD_S
        self._on: dict[str, On] = {}

    def on(self) -> dict[str, On]:
        """Every fault that is on, by name."""
        now = time.monotonic()
        if now - self._read_at >= REREAD_S:
            self._read_at = now
            self._on = _read(self.path)
        return self._on

    def share(self, name: str) -> float:
        """The share of a fault; 0 when it is off."""
        fault = self.on().get(name)
        return fault.share if fault else 0.0

    def hits(self, name: str, customer: str) -> bool:
        """Whether a fault bites this customer: the same customers every time, chosen by hash."""
        share = self.share(name)
        return share > 0 and _fraction(name, customer) < share

    def switch(self, name: str, share: float | None = None, region: str = "eu") -> None:
        """Switch a fault on, or set its share anew; a region nobody is from is a ``ValueError``."""
        if region not in REGIONS:
            raise ValueError(f"no customer is from {region!r}; there are: {', '.join(REGIONS)}")
        on = _read(self.path)
        on[name] = On(FAULTS[name].share if share is None else share, region)
        self._write(on)

    def off(self, name: str | None = None) -> None:
        """Switch one fault off, or all."""
        on = _read(self.path) if name else {}
        on.pop(name or "", None)
        self._write(on)

    def _write(self, on: dict[str, On]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=self.path.parent, suffix=".tmp", delete=False) as file:
            json.dump({name: {"share": fault.share, "region": fault.region} for name, fault in on.items()}, file)
        os.replace(file.name, self.path)  # noqa: PTH105 readers see the old file or the new one, never half
        self._read_at = -REREAD_S


def _read(path: Path) -> dict[str, On]:
    try:
        state = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    return {name: On(**fault) for name, fault in state.items() if name in FAULTS}


def _fraction(name: str, customer: str) -> float:
    digest = blake2b(f"{name} {customer}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def share_of(text: str) -> float:
    """Read a share, ``0.4`` or ``40%``; anything that is none is a ``ValueError``."""
    value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    if not 0 < value <= 1:
        raise ValueError(f"share is {text!r}; give a number above 0 and up to 1, or a percentage")
    return value


def _list(faults: Faults) -> None:
    for fault in FAULTS.values():
        on = faults.on().get(fault.name)
        state = f"on  {on.share:.0%} of {fault.of}" if on else "off"
        print(f"{fault.name:16}{state:36}{fault.says}")


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("examples.hosting.faults", description="Break the example platform, and mend it.")
    parser.add_argument("what", help="list, off, or one of: " + ", ".join(FAULTS))
    parser.add_argument("state", nargs="?", help="on or off; after 'off': a fault's name or all")
    parser.add_argument("--share", type=share_of, help="share affected, 0.4 or 40%%; each fault has a default")
    parser.add_argument("--region", choices=list(REGIONS), default="eu", help="for login-region (default eu)")
    parser.add_argument("--home", type=Path, default=HOME, help="the platform's directory (default %(default)s)")
    arguments = parser.parse_args(argv)
    name = arguments.state if arguments.what in {"on", "off"} else arguments.what
    known = {"list", *FAULTS, *(["all", None] if arguments.what == "off" else [])}
    if name not in known:
        parser.error(f"no fault is called {name!r}; there are: {', '.join(FAULTS)}")
    if arguments.what in FAULTS and arguments.state not in {"on", "off"}:
        parser.error(f"say 'on' or 'off' after {arguments.what}; got {arguments.state!r}")
    return arguments


def main(argv: list[str]) -> None:
    """Run the command line."""
    arguments = _arguments(argv)
    faults = Faults(arguments.home)
    match arguments.what, arguments.state:
        case "list", _:
            pass
        case "off", None | "all":
            faults.off()
        case ("off", str(name)) | (str(name), "off"):
            faults.off(name)
        case ("on", str(name)) | (str(name), _):
            faults.switch(name, arguments.share, arguments.region)
    _list(faults)


if __name__ == "__main__":
    main(sys.argv[1:])
