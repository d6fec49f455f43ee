// Makes one element like another by changing only what differs, so that focus, selection, open details and charts stay.
const KEPT = new Set(["open"]);

export function parse(html: string): Element | null {
  const template = document.createElement("template");
  template.innerHTML = html; // The server's own markup, every value in it escaped; scripts in it do not run.
  return template.content.firstElementChild;
}

export function morph(old: Element, fresh: Element): void {
  if (old.isEqualNode(fresh)) return;
  if (old.tagName !== fresh.tagName || old.namespaceURI !== fresh.namespaceURI) {
    old.replaceWith(fresh);
    return;
  }
  if (old instanceof HTMLElement && "chart" in old.dataset) return; // ECharts owns what is inside.
  morphAttributes(old, fresh);
  morphChildren(old, fresh);
}

function morphAttributes(old: Element, fresh: Element): void {
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !KEPT.has(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
}

function morphChildren(old: Element, fresh: Element): void {
  const wanted = [...fresh.childNodes];
  wanted.forEach((child, index) => {
    const there = old.childNodes[index];
    if (!there) old.append(child);
    else if (there instanceof Element && child instanceof Element) morph(there, child);
    else if (there.nodeType === Node.TEXT_NODE && child.nodeType === Node.TEXT_NODE) {
      if (there.nodeValue !== child.nodeValue) there.nodeValue = child.nodeValue;
    } else there.replaceWith(child);
  });
  while (old.childNodes.length > wanted.length) old.lastChild?.remove();
}
