"""The pages in a real Chromium: policy, console, accessibility, sizes, themes, keys, hostile texts, live updates."""

from typing import Final

import pytest
from browsing import Browser, Serve
from fakes_source import HOSTILE, FakeSource

from otel_cx_collector.web import WebServer, WebSettings

pytestmark = pytest.mark.browser

INCIDENT: Final = "/incidents/checkout-20261124T095000Z"
PAGES: Final = (
    *("/", "/journeys/checkout", "/journeys/deployment", "/journeys/support", "/inventory"),
    *("/incidents", INCIDENT, "/incidents/dns-change-20261123T085000Z"),
)
LOOKS: Final = [(width, dark) for width in (1440, 390) for dark in (False, True)]

KEPT: Final = """
window.__kept = [...document.querySelectorAll("main *")];
window.__changed = [];
new MutationObserver((all) => {
  for (const one of all) {
    const element = one.target.nodeType === 1 ? one.target : one.target.parentElement;
    window.__changed.push(element?.closest("[id]")?.id);
  }
}).observe(document.querySelector("main"), {childList: true, characterData: true, subtree: true});
"""


@pytest.mark.parametrize(("width", "dark"), LOOKS)
@pytest.mark.parametrize("path", PAGES)
def test_a_page_fits_breaks_no_policy_says_nothing_on_the_console_and_is_accessible(
    chromium: Browser, url: str, path: str, width: int, dark: bool
) -> None:
    chromium.look(width=width, dark=dark)
    chromium.open(url + path)
    chromium.drawn()
    chromium.until("return document.documentElement.dataset.connection === 'live'")
    assert chromium.run("return document.documentElement.scrollWidth") <= width
    assert chromium.findings() == []
    assert chromium.complaints() == []


@pytest.mark.parametrize(
    "path",
    [
        "/nope",
        "/incidents/nope",
        "/incidents?show=open&journey=signup",
        "/?range=1y",
        "/?range=7d",
        "/journeys/checkout?range=30d&by=plan,market",
    ],
)
def test_errors_and_picked_ranges_are_accessible_too(chromium: Browser, url: str, path: str) -> None:
    chromium.look()
    chromium.open(url + path)
    chromium.drawn()
    assert chromium.findings() == []
    assert [said for said in chromium.complaints() if "status of 4" not in said] == []


def test_the_system_theme_is_followed_until_another_is_chosen_and_the_choice_is_kept(
    chromium: Browser, url: str
) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    harmed = "document.querySelector('[data-chart=waterfall] path[fill]:not([fill=none])').getAttribute('fill')"
    chromium.look(dark=True)
    chromium.open(url + "/journeys/checkout")
    chromium.drawn()
    dark, painted = chromium.run(ground), chromium.run(f"return {harmed}")
    chromium.look(dark=False)
    light = chromium.until(f"const now = (() => {{ {ground} }})(); return now !== arguments[0] && now", dark)
    chromium.until(f"return {harmed} !== arguments[0]", painted)
    chromium.run("document.getElementById('theme').click(); document.getElementById('theme').click()")
    assert chromium.run("return document.getElementById('theme').ariaLabel") == "Theme: dark"
    assert chromium.run(ground) == dark
    chromium.until(f"return {harmed} === arguments[0]", painted)
    chromium.open(url)
    assert chromium.run(ground) == dark
    chromium.run("document.getElementById('theme').click()")
    assert chromium.run(ground) == light
    assert chromium.complaints() == []


def test_everything_can_be_reached_and_used_with_the_keyboard_alone(chromium: Browser, url: str) -> None:
    chromium.look()
    chromium.open(url)
    chromium.press("Tab", 9)
    assert chromium.run("return document.activeElement.textContent") == "Skip to content"
    assert chromium.run("return document.activeElement.getBoundingClientRect().top") >= 0
    chromium.press("Enter", 13)
    chromium.until("return document.activeElement.id === 'main'")
    chromium.press("Tab", 9)
    assert chromium.run("return document.activeElement.textContent") == "All incidents"
    chromium.run("document.querySelector('#worst-title a').focus()")
    chromium.press("Enter", 13)
    chromium.until("return location.pathname === '/journeys/checkout' && document.readyState === 'complete'")
    chromium.drawn()
    reached = set()
    for _ in range(200):
        chromium.press("Tab", 9)
        reached.add(
            chromium.run(
                "const e = document.activeElement;"
                "return e.tagName + ' ' + (e.getAttribute('aria-label') ?? e.textContent.trim().slice(0, 40))"
            )
        )
    for wanted in (
        "A 24h",
        "BUTTON Theme: light",
        "A Runbook",
        "SUMMARY These figures as a table",
        "DIV Figures by step",
        "BUTTON Copy trace id",
        "BUTTON Copy the vector",
        "SUMMARY The arithmetic as a table",
    ):
        assert wanted in {each.replace("Theme: system", "Theme: light") for each in reached}
    chromium.run("document.querySelector('#slices-table summary').focus()")
    chromium.press("Enter", 13)
    chromium.until("return document.getElementById('slices-table').open")


def test_hostile_texts_are_shown_as_text_and_do_nothing(chromium: Browser, url: str) -> None:
    chromium.look()
    for path in ("/journeys/checkout", "/inventory", INCIDENT):
        chromium.open(url + path)
        chromium.drawn()
        shown = chromium.text("main")
        for text in HOSTILE:
            assert text.replace("\u0000", "") in shown, "HTML has no U+0000; all else is shown"
        assert chromium.run("return document.querySelectorAll('main img, main script:not([type]), main b').length") == 0
        assert chromium.complaints() == []


def test_a_live_update_moves_only_what_changed(chromium: Browser, serve: Serve, source: FakeSource) -> None:
    chromium.look()
    chromium.open(serve())
    chromium.until("return document.documentElement.dataset.connection === 'live'")
    chromium.run("document.querySelector('#row-signup a').focus()")
    chromium.run(KEPT)
    source.turn(lambda s: setattr(s, "unmeasured", ""), seconds=0)
    chromium.until("return document.querySelector('#row-deployment').textContent.includes('Healthy')")
    assert chromium.run("return [...document.querySelectorAll('#rows tr')].map((row) => row.id)")[2] == "row-support"
    assert set(chromium.run("return window.__changed")) <= {"rows", "row-deployment"}
    assert chromium.run("return document.activeElement.closest('tr').id") == "row-signup"
    assert chromium.complaints() == []


def test_a_chart_is_updated_in_place_and_open_tables_stay_open(
    chromium: Browser, serve: Serve, source: FakeSource
) -> None:
    chromium.look()
    chromium.open(serve() + "/journeys/checkout")
    chromium.drawn()
    chromium.until("return document.documentElement.dataset.connection === 'live'")
    chromium.run("document.getElementById('slices-table').open = true")
    chromium.run("window.__svg = document.querySelector('[data-chart=slices] svg')")
    before = chromium.run("return document.getElementById('chart-slices').getAttribute('aria-label')")
    source.turn(lambda s: setattr(s, "outage", 0.5))
    label = "return document.getElementById('chart-slices').getAttribute('aria-label')"
    chromium.until(f"return (() => {{ {label} }})() !== arguments[0]", before)
    assert chromium.run("return window.__svg === document.querySelector('[data-chart=slices] svg')")
    assert chromium.run("return document.getElementById('slices-table').open")
    chromium.until("return document.querySelector('#tiles').textContent.includes('206')")
    assert chromium.complaints() == []


def test_trouble_is_said_aloud_and_taken_back_when_it_is_over(
    chromium: Browser, serve: Serve, source: FakeSource
) -> None:
    chromium.look()
    chromium.open(serve())
    chromium.until("return document.documentElement.dataset.connection === 'live'")
    source.turn(lambda s: setattr(s, "down", "the store does not answer"))
    chromium.until("return !document.getElementById('trouble').hidden")
    assert chromium.text("#trouble") == "the store does not answer"
    assert "Checkout" in chromium.text("#rows")
    source.turn(lambda s: setattr(s, "down", ""))
    chromium.until("return document.getElementById('trouble').hidden")


def test_a_page_follows_a_collector_that_was_restarted(chromium: Browser, source: FakeSource) -> None:
    chromium.look()
    first = WebServer(source, WebSettings(port=0))
    port = first.start()
    chromium.open(f"http://localhost:{port}/")
    chromium.until("return document.documentElement.dataset.connection === 'live'")
    chromium.run("window.__old = true")
    first.stop()
    chromium.until("return document.documentElement.dataset.connection === 'lost'")
    assert "Trying again" in chromium.text("#trouble")
    second = WebServer(source, WebSettings(port=port))
    second.start()
    try:
        chromium.until("return window.__old === undefined && document.documentElement.dataset.connection === 'live'")
        assert chromium.run("return document.getElementById('trouble').hidden")
    finally:
        second.stop()


def test_an_empty_page_becomes_a_full_one_by_itself(chromium: Browser, serve: Serve, source: FakeSource) -> None:
    source.rounds = 0
    chromium.look()
    chromium.open(serve())
    assert chromium.text("h1") == "Starting"
    source.turn()
    chromium.until("return document.querySelector('#rows') !== null")


def test_a_picked_range_is_not_live(chromium: Browser, serve: Serve, source: FakeSource) -> None:
    chromium.look()
    chromium.open(serve() + "/?range=6h")
    said = chromium.text("#lead")
    assert "not live" in said
    source.turn()
    assert chromium.run("return document.documentElement.dataset.connection ?? 'none'") == "none"
    assert source.waits == []


@pytest.mark.parametrize(
    ("zone", "said"),
    [("Asia/Kolkata", "15:30:00 10:00:00 UTC"), ("UTC", "10:00:00 UTC"), ("America/New_York", "05:00:00")],
)
def test_times_are_in_the_viewers_zone_with_utc_beside(chromium: Browser, url: str, zone: str, said: str) -> None:
    chromium.look(zone=zone)
    chromium.open(url)
    chromium.until("return document.querySelector('#lead time').title === '2026-11-24T10:00:00Z'")
    assert said in chromium.text("#lead time")
    assert chromium.text("#lead time").endswith("10:00:00 UTC")


def test_a_trace_id_can_be_copied(chromium: Browser, url: str) -> None:
    chromium.look()
    chromium.open(url + "/journeys/checkout")
    origin = {"origin": url, "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    chromium.command("Browser.grantPermissions", **origin)
    chromium.run("document.querySelector('.trace .copy').click()")
    assert chromium.until("return document.querySelector('.told')?.textContent") in {"Copied", "Selected"}


def test_a_chart_can_be_read_on_hover_without_breaking_the_policy(chromium: Browser, url: str) -> None:
    chromium.look()
    chromium.open(url + "/journeys/checkout")
    chromium.drawn()
    box = chromium.run(
        "const b = document.querySelector('[data-chart=slices]').getBoundingClientRect();"
        "return [b.left + b.width / 2, b.top + 60]"
    )
    chromium.command("Input.dispatchMouseEvent", type="mouseMoved", x=box[0], y=box[1])
    chromium.until("return document.querySelector('[data-chart=slices] svg').textContent.includes('Harmed attempts')")
    assert chromium.complaints() == []
