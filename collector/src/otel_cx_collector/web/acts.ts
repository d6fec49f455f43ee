// The form that acts on an incident: tells the API, and says beside itself what came of it. The page follows by itself.
type Problem = { detail?: string; cure?: string };

const PATIENCE_MS = 20_000;
const DONE: Record<string, string> = {
  annotate: "Noted.",
  acknowledge: "Acknowledged.",
  mitigate: "Marked as mitigated.",
  resolve: "Resolved.",
  reopen: "Reopened.",
};

export function enableActs(): void {
  const who = field(document, "who");
  if (who) who.value = remembered();
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!(form instanceof HTMLFormElement) || !form.dataset["acts"]) return;
    event.preventDefault();
    if (event.submitter instanceof HTMLButtonElement) void act(form, form.dataset["acts"], event.submitter.value);
  });
  // Enter in the name would press the first button, whichever that is just now.
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target === field(document, "who")) event.preventDefault();
  });
}

async function act(form: HTMLFormElement, url: string, what: string): Promise<void> {
  const who = field(form, "who");
  const text = field(form, "text");
  if (!who || !text || form.ariaBusy === "true") return;
  for (const [input, wanted] of [[who, "Say who you are."], [text, what === "annotate" ? "Write the note." : ""]] as const) {
    if (wanted && !input.value.trim()) {
      say(wanted, true);
      input.focus();
      return;
    }
  }
  form.ariaBusy = "true";
  say("Sending …", false);
  const failed = await send(`${url}/${what}`, { who: who.value, text: text.value });
  form.ariaBusy = null;
  say(failed || (DONE[what] ?? "Done."), failed !== "");
  if (failed) return;
  text.value = "";
  remember(who.value);
  document.getElementById("act-said")?.focus({ preventScroll: true }); // The button may be another one in a moment.
}

/** What went wrong, in words; empty when nothing did. */
async function send(url: string, body: { who: string; text: string }): Promise<string> {
  try {
    const answer = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    return answer.ok ? "" : await problem(answer);
  } catch {
    return "The collector did not answer, so it may or may not be done: look at the timeline, then try again.";
  }
}

async function problem(answer: Response): Promise<string> {
  const text = await answer.text();
  try {
    const { detail = "", cure = "" } = JSON.parse(text) as Problem;
    return `Not done: ${detail}${/[.!?]$/.test(detail) ? "" : "."} ${cure}`.trim();
  } catch {
    return `Not done (${answer.status}): ${text.slice(0, 300)}`;
  }
}

function say(message: string, failed: boolean): void {
  const place = document.getElementById("act-said");
  if (!place) return;
  place.textContent = message;
  place.classList.toggle("failed", failed);
}

function field(root: ParentNode, name: string): HTMLInputElement | HTMLTextAreaElement | null {
  return root.querySelector(`[name="${name}"]`);
}

function remembered(): string {
  try {
    return localStorage.getItem("who") ?? "";
  } catch {
    return "";
  }
}

function remember(who: string): void {
  try {
    localStorage.setItem("who", who);
  } catch {
    // Storage is refused: it is typed again.
  }
}
