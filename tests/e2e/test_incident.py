"""The main job with real processes and a real browser: break the example platform, see who is hurt, mend it.

What the collector says is held against the diaries of the people on the platform, who know what they met.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from browsing import Browser, why_not
from e2e.running import ROOT, Running, free_ports, moment, until

from otel_cx_collector.measure import impact

START_S = 120
SEEN_WITHIN_S = 90
"""The promise: from the first failure to the page."""
OVER_WITHIN_S = 240
WORST_SECOND = 47
BEFORE_S = 200


@dataclass(frozen=True)
class Demo(Running):
    """The running demonstration."""

    def diary(self, from_s: float, to_s: float) -> tuple[set[str], set[str]]:
        """Customers on checkout in a stretch of time, and those of them who met a server error."""
        mine = [one for one in self._lines() if one["journey"] == "checkout" and from_s <= one["at"] < to_s]
        return {one["customer"] for one in mine}, {one["customer"] for one in mine if one["status"] >= 500}

    def lived_s(self) -> float:
        """For how long people have been writing their diaries."""
        return time.time() - float(self._lines()[0]["at"])

    def _lines(self) -> list[dict[str, Any]]:
        # The last line may still be under way.
        return [json.loads(line) for line in (self.home / "diary.jsonl").read_text().split("\n")[:-1]]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    home = tmp_path_factory.mktemp("demo")
    ports = free_ports("web", "grpc", "http", "health", "pager")
    chosen = [word for name, port in ports.items() for word in (f"--{name}-port", str(port))]
    process = subprocess.Popen(
        [sys.executable, "-m", "examples.hosting.demo", "--home", str(home), *chosen, "--for", "900"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "HOSTING_DIARY": str(home / "diary.jsonl")},
    )
    try:
        said = []
        for line in process.stdout or ():
            said.append(line)
            if "Ctrl-C" in line:
                break
        else:
            pytest.fail(f"the demonstration did not start: {''.join(said)}")
        running = Demo(home, f"http://127.0.0.1:{ports['web']}")
        until("every journey measured and at rest", running.at_rest, START_S)
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        if process.stdout:
            process.stdout.close()


def most_hurt(demo: Demo) -> dict[str, Any] | None:
    """Checkout's open episode, once checkout leads the list and its live score is that of an incident."""
    first = demo.api("journeys")["journeys"][0]
    found = demo.journey()
    episodes = [one for one in found["episodes"] if not one["over"]]
    return found | {"episode": episodes[-1]} if first["name"] == "checkout" and episodes else None


@pytest.mark.timeout(900)
def test_payment_errors_are_seen_in_time_at_their_true_size_and_their_end_too(demo: Demo) -> None:
    # An episode may begin three minutes before the fault, with what goes wrong on an ordinary day: in made history
    # there are no diaries.
    until("no episode can reach into history", lambda: demo.lived_s() > BEFORE_S, BEFORE_S)
    # The worst moment: so late in a minute that it holds little harm yet, and the next one is far from closing.
    time.sleep((WORST_SECOND - time.time()) % 60)
    demo.fault("payment-errors", "on", "--share", "0.4")
    began = time.time()
    found = until("checkout is the most hurt journey", lambda: most_hurt(demo), SEEN_WITHIN_S)
    assert found["live"]["score"] > 0
    assert found["state"] in {"severe", "major", "minor"}

    # A minute more, so that the interval is narrow enough to be wrong.
    until("a second harmed minute", lambda: (e := most_hurt(demo)) and ended_s(e) >= began + 60, SEEN_WITHIN_S)
    found = most_hurt(demo)
    assert found
    episode = found["episode"]
    assert moment(episode["ended_at"]) >= began
    again = impact.parse_vector(episode["vector"])
    assert impact.harm_minutes(again) == pytest.approx(episode["harm_minutes"], rel=0.005)
    assert impact.score(impact.harm_minutes(again)) == pytest.approx(episode["score"], rel=0.005)

    # What customers met themselves, from the first failure on to the end of what was judged.
    active, hurt = demo.diary(moment(episode["started_at"]), moment(episode["ended_at"]))
    reach = episode["reach"]
    assert reach["low"] <= len(hurt) / len(active) <= reach["high"]
    assert reach["affected"] == pytest.approx(len(hurt), rel=0.1)

    worst = found["live"]["score"]
    demo.fault("off", "all")
    until("a closed minute without harm", lambda: not demo.journey()["live"]["harmed"], OVER_WITHIN_S)
    found = demo.journey()
    assert found["live"]["score"] < worst
    series = demo.api("journeys/checkout/series?range=15m")
    settled = [
        share
        for share, provisional in zip(series["success"], series["provisional"], strict=True)
        if share is not None and not provisional
    ]
    assert min(settled[-3:]) > 0.9, "success is back"


def ended_s(found: dict[str, Any]) -> float:
    return moment(found["episode"]["ended_at"])


@pytest.mark.browser
def test_the_page_shows_every_journey_without_a_complaint(demo: Demo) -> None:
    if why := why_not():
        pytest.skip(why)
    browser = Browser()
    try:
        browser.look()
        browser.open(f"{demo.page}/")
        browser.drawn()
        text = browser.text("main")
        for title in ("Checkout", "Portal login", "Sign-up", "DNS change", "Site deployment", "Support ticket"):
            assert title in text
        assert browser.complaints() == []
    finally:
        browser.quit()
