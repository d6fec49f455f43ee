// Before the first paint: the theme the viewer chose, if any. A script of its own, because a module runs too late.
try {
  const chosen = localStorage.getItem("theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset["theme"] = chosen;
} catch {
  // Storage is refused: the system decides.
}
