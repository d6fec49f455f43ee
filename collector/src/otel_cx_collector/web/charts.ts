// The one wrapper of ECharts: SVG, tooltips as SVG text, colours from the page's theme. Loaded only where a chart is.
import type { ECharts, EChartsCoreOption } from "echarts/core";

type Json = string | number | boolean | null | Json[] | { [key: string]: Json };
export type Option = { [key: string]: Json };
export type Charts = Record<string, { option: Option; label: string }>;
type Drawing = { chart: ECharts; place: HTMLElement; option: Option };

const drawings = new Map<string, Drawing>();

export function showCharts(): void {
  const data = document.getElementById("charts");
  if (!data?.textContent) return;
  void apply(JSON.parse(data.textContent) as Charts);
  document.addEventListener("themechange", () => {
    for (const drawing of drawings.values()) draw(drawing);
  });
}

export async function apply(changed: Charts): Promise<void> {
  const { init } = await import("./echarts");
  for (const [name, { option, label }] of Object.entries(changed)) {
    const place = document.querySelector<HTMLElement>(`[data-chart="${CSS.escape(name)}"]`);
    if (!place) continue;
    place.setAttribute("aria-label", label);
    const known = drawings.get(name);
    if (known?.place === place) {
      known.option = merged(known.option, option);
      known.chart.setOption(themed(option) as EChartsCoreOption);
      continue;
    }
    known?.chart.dispose();
    place.replaceChildren();
    const drawing = { chart: init(place, null, { renderer: "svg" }), place, option };
    drawings.set(name, drawing);
    draw(drawing);
    new ResizeObserver(() => drawing.chart.resize()).observe(place);
  }
}

function draw({ chart, option }: Drawing): void {
  chart.setOption(themed(option) as EChartsCoreOption, true);
}

function merged(old: Option, change: Option): Option {
  const series = new Map(identified(old).map((each) => [each["id"], each]));
  for (const each of identified(change)) series.set(each["id"], each);
  return { ...old, ...change, series: [...series.values()] };
}

function identified(option: Option): Option[] {
  return Array.isArray(option["series"]) ? (option["series"] as Option[]) : [];
}

function themed(option: Option): Json {
  const probe = document.createElement("span");
  document.body.append(probe);
  const known = new Map<string, string>();
  const resolve = (token: string): string => {
    probe.style.color = `var(${token})`;
    const color = getComputedStyle(probe).color;
    known.set(token, color);
    return color;
  };
  const walk = (value: Json): Json => {
    if (typeof value === "string") return value.startsWith("--") ? (known.get(value) ?? resolve(value)) : value;
    if (Array.isArray(value)) return value.map(walk);
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, walk(each)]));
    }
    return value;
  };
  const font = getComputedStyle(document.body).fontFamily;
  const zone = "useUTC" in option ? { useUTC: false } : {}; // The page's axes are in the viewer's zone.
  const done = walk({ ...option, ...zone, textStyle: { fontFamily: font } });
  probe.remove();
  return done;
}
