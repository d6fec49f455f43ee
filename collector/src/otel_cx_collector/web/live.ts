// Follows the page's figures: server-sent events say which parts and series changed, and only those are touched.
import { apply, type Charts } from "./charts";
import { morph, parse } from "./morph";
import { localise } from "./times";

type Patch = {
  round: number;
  empty: string;
  title?: string;
  parts?: Record<string, string>;
  lists?: Record<string, string[]>;
  charts?: Charts;
};

const AGAIN_MS = 10_000;

export function follow(): void {
  const url = document.documentElement.dataset["events"];
  if (!url) return;
  let seen = new URL(url, location.href).searchParams.get("seen") ?? "";
  const boot = seen.split("-")[0];
  let source: EventSource | undefined;
  const close = (): void => source?.close();
  const open = (): void => {
    close();
    const from = new URL(url, location.href);
    from.searchParams.set("seen", seen);
    source = connect(from, (mark) => {
      if (mark.split("-")[0] !== boot) location.reload(); // Another process: perhaps another version of this page.
      seen = mark;
    }, open);
  };
  open();
  // A browser has few connections to one host: a page that nobody sees gives its own back.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => {
    if (event.persisted) open();
  });
}

function connect(url: URL, saw: (mark: string) => void, again: () => void): EventSource {
  const source = new EventSource(url);
  const well = (): void => {
    connection("live");
    trouble("");
  };
  source.addEventListener("open", well);
  source.addEventListener("patch", (event: MessageEvent<string>) => {
    well();
    saw(event.lastEventId);
    change(JSON.parse(event.data) as Patch);
  });
  source.addEventListener("trouble", (event: MessageEvent<string>) => {
    connection("trouble");
    trouble((JSON.parse(event.data) as { message: string }).message);
  });
  source.addEventListener("error", () => {
    connection("lost");
    trouble("Not live: the connection to the collector is lost. Trying again.");
    if (source.readyState === EventSource.CLOSED) setTimeout(again, AGAIN_MS); // Refused, not only lost.
  });
  return source;
}

function change(patch: Patch): void {
  const empty = document.querySelector(".plate") !== null;
  if (empty !== (patch.empty !== "")) {
    location.reload();
    return;
  }
  if (patch.title) document.title = `${patch.title} · otel-cx`;
  const fresh = new Map<string, Element>();
  for (const [id, html] of Object.entries(patch.parts ?? {})) {
    const element = parse(html);
    if (!element) continue;
    localise(element);
    const old = document.getElementById(id);
    if (old) morph(old, element);
    else fresh.set(id, element);
  }
  for (const [id, children] of Object.entries(patch.lists ?? {})) order(id, children, fresh);
  if (patch.charts) void apply(patch.charts);
}

function order(id: string, children: string[], fresh: Map<string, Element>): void {
  const list = document.getElementById(id);
  if (!list) return;
  const focused = document.activeElement;
  children.forEach((child, index) => {
    const element = document.getElementById(child) ?? fresh.get(child);
    const there = list.children[index] ?? null;
    if (element && element !== there) list.insertBefore(element, there);
  });
  while (list.children.length > children.length) list.lastElementChild?.remove();
  if (focused instanceof HTMLElement && focused.isConnected) focused.focus({ preventScroll: true });
}

function connection(state: "live" | "lost" | "trouble"): void {
  document.documentElement.dataset["connection"] = state;
}

function trouble(message: string): void {
  const place = document.getElementById("trouble");
  if (!place) return;
  place.hidden = message === "";
  if (place.textContent !== message) place.textContent = message;
}
