// Times in the viewer's zone, with UTC beside. The server writes UTC; this puts the viewer's own before it.
const now = new Date();
const inUtc = now.getTimezoneOffset() === 0;
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

export function localise(root: ParentNode): void {
  for (const time of root.querySelectorAll<HTMLTimeElement>("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    const today = at.toDateString() === new Date().toDateString();
    const own = (today ? "" : `${day.format(at)} `) + clock.format(at);
    const utc = time.dateTime.slice(11, 19);
    time.title = time.dateTime;
    if (inUtc) {
      time.textContent = `${own} UTC`;
    } else {
      const beside = document.createElement("span");
      beside.className = "utc";
      beside.textContent = ` ${utc} UTC`;
      time.replaceChildren(own, beside);
    }
  }
}
