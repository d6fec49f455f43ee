// Buttons that copy an id. Where the clipboard is refused (plain http), the id is selected instead.
export function enableCopying(): void {
  document.addEventListener("click", (event) => {
    const button = event.target instanceof Element ? event.target.closest<HTMLButtonElement>("button[data-copy]") : null;
    if (button) void copy(button);
  });
}

async function copy(button: HTMLButtonElement): Promise<void> {
  const text = button.dataset["copy"] ?? "";
  try {
    await navigator.clipboard.writeText(text);
    say(button, "Copied");
  } catch {
    const shown = button.previousElementSibling;
    if (shown) getSelection()?.selectAllChildren(shown);
    say(button, "Selected");
  }
}

function say(button: HTMLButtonElement, word: string): void {
  const told = document.createElement("span");
  told.className = "told";
  told.setAttribute("role", "status");
  told.textContent = word;
  button.querySelector(".told")?.remove();
  button.append(told);
  setTimeout(() => told.remove(), 1600);
}
