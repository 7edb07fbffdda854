// Small helpers: elements, numbers, names, times.

/** An element with attributes and children. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

/** Writes a text where it is another one: readers are not told again of what stays. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Draws anew only where what is drawn from has changed. Whoever is on a branch with the keyboard stays on it. */
export function whenNew(element, source, draw) {
  const key = JSON.stringify(source);
  if (element.drawnFrom === key) return;
  element.drawnFrom = key;
  const focused = element.contains(document.activeElement) ? document.activeElement.closest("[data-path]") : null;
  element.replaceChildren(...draw(source));
  if (focused) element.querySelector(`[data-path="${CSS.escape(focused.dataset.path)}"] > summary`)?.focus({ preventScroll: true });
}

export const percent = (share, digits = 0) => `${(share * 100).toFixed(digits)} %`;

/** Close to certain is not certain. */
export function sureness(probability) {
  if (probability > 0.995 && probability < 1) return "> 99 %";
  if (probability > 0 && probability < 0.005) return "< 1 %";
  return percent(probability);
}

/** Names of genera and below are written in italics. */
export function scientific(name, rank) {
  const italic = ["genus", "species", "subspecies", "variety", "form", "subgenus"].includes(rank);
  return make("span", { class: italic ? "name" : false, lang: "la" }, name);
}

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** A time of this place, with UTC for whoever points at it. */
export function clock(text, withDay = false) {
  const time = new Date(text);
  const today = time.toDateString() === new Date().toDateString();
  const hours = time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const day = time.toLocaleDateString([], { day: "numeric", month: "short" });
  const title = `${text.replace("T", " ").replace(/\.\d+Z?$/, "").replace("Z", "")} UTC`;
  return make("time", { datetime: text, title, class: "number" }, withDay && !today ? `${day}, ${hours}` : hours);
}

export function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let step = 0;
  while (count >= 1000 && step < units.length - 1) {
    count /= 1000;
    step += 1;
  }
  return `${count.toFixed(count < 10 && step > 0 ? 1 : 0)} ${units[step]}`;
}

export function duration(seconds) {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}
