// The button that goes through system, light and dark. Charts listen for "themechange".
const ORDER = ["system", "light", "dark"] as const;
type Theme = (typeof ORDER)[number];

const SHAPES: Record<Theme, string> = {
  system: "M8 1.5a6.5 6.5 0 1 0 0 13zM8 1.5a6.5 6.5 0 0 1 0 13",
  light: "M8 4.6a3.4 3.4 0 1 0 0 6.8 3.4 3.4 0 0 0 0-6.8M8 .8v1.4M8 13.8v1.4M.8 8h1.4M13.8 8h1.4M2.9 2.9l1 1M12.1 12.1l1 1M2.9 13.1l1-1M12.1 3.9l1-1",
  dark: "M13.8 9.6A6.2 6.2 0 0 1 6.4 2.2 6.2 6.2 0 1 0 13.8 9.6z",
};

export function enableThemes(): void {
  const button = document.getElementById("theme");
  if (!button) return;
  const root = document.documentElement;
  const show = (theme: Theme): void => {
    if (theme === "system") delete root.dataset["theme"];
    else root.dataset["theme"] = theme;
    button.setAttribute("aria-label", `Theme: ${theme}`);
    button.title = `Theme: ${theme}`;
    button.replaceChildren(icon(SHAPES[theme], theme === "system"));
    document.dispatchEvent(new Event("themechange"));
  };
  let theme: Theme = ORDER.find((name) => name === root.dataset["theme"]) ?? "system";
  show(theme);
  button.hidden = false;
  button.addEventListener("click", () => {
    theme = ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length] ?? "system";
    try {
      localStorage.setItem("theme", theme);
    } catch {
      // Storage is refused: the choice lasts as long as the page.
    }
    show(theme);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show(theme));
}

function icon(shape: string, half: boolean): SVGSVGElement {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  if (half) svg.classList.add("half");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", shape);
  svg.append(path);
  return svg;
}
