// Starts everything a page needs. Each module does one thing; without any of them the page can still be read.
import { enableActs } from "./acts";
import { showCharts } from "./charts";
import { enableCopying } from "./copy";
import { follow } from "./live";
import { enableThemes } from "./theme_switch";
import { localise } from "./times";

localise(document.body);
enableCopying();
enableThemes();
enableActs();
showCharts();
follow();

for (const select of document.querySelectorAll<HTMLSelectElement>("select[data-submit]")) {
  select.form?.classList.add("scripted");
}
document.addEventListener("change", (event) => {
  if (event.target instanceof HTMLSelectElement && "submit" in event.target.dataset) event.target.form?.requestSubmit();
});

const retry = document.querySelector<HTMLElement>("[data-retry]");
if (retry) setTimeout(() => location.reload(), Number(retry.dataset["retry"]) * 1000);
