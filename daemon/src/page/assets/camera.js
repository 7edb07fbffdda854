// One camera: what it sees, what that is taken for, and why no more exactly.
import { drift } from "/assets/drift.js";
import { capital, clock, make, percent, scientific, sureness, whenNew, write } from "/assets/draw.js";

const NS = "http://www.w3.org/2000/svg";
/** Seconds over which rates are measured. */
const WINDOW = 5;

export class Camera {
  constructor(name, act) {
    this.name = name;
    this.history = [];
    this.act = act;
    const title = `camera-${name}`;
    this.state = make("span", { class: "chip" });
    this.rates = make("span", { class: "small soft number" });
    this.pause = make("button", { class: "button plain", type: "button", hidden: true }, "Pause");
    this.pause.addEventListener("click", () => this.act(this.paused ? "resume" : "pause", { camera: name }));
    this.image = make("img", { alt: `What camera ${name} sees now` });
    this.svg = document.createElementNS(NS, "svg");
    this.svg.setAttribute("viewBox", "0 0 1 1");
    this.svg.setAttribute("preserveAspectRatio", "none");
    this.svg.setAttribute("aria-hidden", "true");
    this.over = make("p", { class: "over", role: "status", hidden: true });
    this.view = make("figure", { class: "view" }, make("div", { class: "frame" }, this.image, this.svg), this.over);
    this.verdict = make("div", { class: "verdict" });
    this.way = make("div", { class: "way" });
    this.drift = make("details", { class: "drift", hidden: true });
    this.departed = make("span", { class: "chip warn", hidden: true }, "departs");
    this.element = make("section", { class: "card camera", "aria-labelledby": title, "data-camera": name },
      make("h2", {}, make("span", { id: title }, name), this.state, this.departed, this.rates, this.pause), this.view, this.verdict, this.drift, this.way);
    this.image.addEventListener("load", () => this.element.setAttribute("data-live", "yes"));
    this.inSight = true;
    new IntersectionObserver(([entry]) => {
      this.inSight = entry.isIntersecting;
      this.watch(this.wanted);
    }).observe(this.view);
  }

  /** Pictures come only while somebody can see them. */
  watch(wanted) {
    this.wanted = wanted;
    const on = wanted && this.inSight;
    if (on && !this.image.hasAttribute("src")) this.image.src = `/live/${encodeURIComponent(this.name)}?${Date.now()}`;
    if (!on && this.image.hasAttribute("src")) this.image.removeAttribute("src");
  }

  show(camera, state) {
    this.paused = camera.state === "paused";
    this.pause.hidden = !state.commands.includes(this.paused ? "resume" : "pause");
    write(this.pause, this.paused ? "Resume" : "Pause");
    const streams = camera.state === "streaming";
    const kinds = { streaming: "good", lost: "bad", paused: "warn", ended: "warn" };
    this.state.className = `chip ${kinds[camera.state] ?? "warn"}`;
    write(this.state, camera.state ?? "starting");
    this.measure(camera.frames, state.time);
    const status = camera.status;
    const size = status?.size ? `${status.size[0]} × ${status.size[1]}, ` : "";
    write(this.rates, this.captured == null ? size : `${size}${this.captured} frames/s, ${this.inferred} decisions/s`);
    this.over.hidden = streams;
    this.over.className = `over ${camera.state === "lost" ? "bad" : ""}`;
    const reasons = { lost: "Camera lost", paused: "Paused: frames are passed over", ended: "No more pictures will come" };
    write(this.over, (reasons[camera.state] ?? "Waiting for the first frame") + (status?.reason ? `: ${status.reason}` : ""));
    this.draw(camera.region);
    this.element.setAttribute("data-state", camera.state ?? "starting");
    this.element.setAttribute("data-decision", camera.decision?.number ?? 0);
    whenNew(this.verdict, camera.decision && { ...camera.decision, number: 0, latency_ms: 0, time: 0 }, verdict);
    whenNew(this.way, camera.decision, way);
    this.drift.hidden = !camera.drift;
    this.departed.hidden = camera.drift?.state !== "departed";
    if (camera.drift) whenNew(this.drift, camera.drift, drift);
    if (camera.decision && camera.decision.time !== this.element.dataset.time) {
      this.element.setAttribute("data-latency", camera.decision.latency_ms);
      this.element.setAttribute("data-time", camera.decision.time);
    }
  }

  measure(frames, time) {
    if (!frames) return;
    this.history.push({ at: Date.parse(time) / 1000, ...frames });
    while (this.history.length > 2 && this.history.at(-1).at - this.history[0].at > WINDOW) this.history.shift();
    const [first, last] = [this.history[0], this.history.at(-1)];
    if (last.at - first.at < 0.9) return;
    const rate = (of) => ((last[of] - first[of]) / (last.at - first.at)).toFixed(1);
    [this.captured, this.inferred] = [rate("captured"), rate("inferred")];
  }

  draw(region) {
    const key = JSON.stringify(region);
    if (this.drawn === key) return;
    this.drawn = key;
    this.svg.replaceChildren();
    if (!region) return;
    for (const kind of ["under", "region"]) {
      const rect = document.createElementNS(NS, "rect");
      const [left, top, right, bottom] = region;
      const values = { x: left, y: top, width: right - left, height: bottom - top, class: kind };
      for (const [name, value] of Object.entries(values)) rect.setAttribute(name, value);
      this.svg.append(rect);
    }
  }
}

function verdict(seen) {
  if (!seen) return [make("p", { class: "soft" }, "No decision yet.")];
  const at = seen.descent.findIndex((rung) => rung.answer);
  const answer = seen.descent[at];
  const head = answer
    ? make("p", { class: "answer" },
      make("strong", {}, scientific(answer.name, answer.rank)),
      answer.common_name ? make("span", {}, answer.common_name) : null,
      make("span", { class: "soft small" }, answer.rank),
      make("span", { class: "sure number" }, sureness(answer.probability)))
    : make("p", { class: "answer" }, make("strong", {}, "An organism"), make("span", { class: "soft" }, "not sure of any kingdom"));
  return [head, make("p", { class: "why" }, ...why(seen, answer, seen.descent[at + 1]))];
}

function way(seen) {
  if (!seen) return [];
  const at = seen.descent.findIndex((rung) => rung.answer);
  const ladder = make("ol", { class: "ladder", "aria-label": "Lineage with probabilities" },
    ...seen.descent.map((rung, place) => step(rung, at < 0 || place > at)));
  const key = make("p", { class: "key" },
    make("span", {}, make("b"), "how sure an answer must be"),
    make("span", {}, "frame of ", clock(seen.time), `, decided in ${seen.latency_ms.toFixed(0)} ms`));
  return [ladder, ...rivals(seen), key];
}

function why(seen, answer, next) {
  if (seen.stop === "leaf") return [`Sure down to the ${answer?.rank ?? "taxon"}: the model knows nothing more exact.`];
  if (seen.stop === "prior") return ["The model sees nothing of what is expected here."];
  if (!next) return ["Nothing is sure enough."];
  const above = answer ? `Stopped at ${answer.rank}: ` : "";
  return [`${above}the likeliest ${next.rank}, `, scientific(next.name, next.rank),
    `, has ${sureness(next.probability)} and needs ${percent(next.threshold)}.`];
}

function rivals(seen) {
  const others = seen.rivals.slice(1).filter((rung) => rung.probability >= 0.005);
  if (seen.stop === "leaf" || others.length === 0) return [];
  const parts = others.flatMap((rung, place) => [place ? ", " : "", scientific(rung.name, rung.rank), ` ${sureness(rung.probability)}`]);
  return [make("p", { class: "rivals small soft" }, "Also possible: ", ...parts)];
}

function step(rung, below) {
  const bar = make("span", { class: "bar", "aria-hidden": "true" }, make("i"), make("b"));
  bar.style.setProperty("--share", `${rung.probability * 100}%`);
  bar.style.setProperty("--cut-at", `${rung.threshold * 100}%`);
  const verdict = below ? ` of the ${percent(rung.threshold)} needed` : "";
  return make("li", { class: rung.answer ? "answer" : below ? "below" : false },
    make("span", { class: "rank" }, capital(rung.rank)),
    make("span", { class: "taxon" },
      scientific(rung.name, rung.rank),
      rung.common_name ? make("span", { class: "small" }, rung.common_name) : null,
      make("span", { class: "number" }, sureness(rung.probability),
        rung.answer ? make("span", { class: "hidden" }, ", the answer") : make("span", { class: "hidden" }, verdict))),
    bar);
}
