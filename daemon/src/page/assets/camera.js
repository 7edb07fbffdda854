// One camera: what it sees, what that is taken for, and why no more exactly.
import { capital, clock, make, percent, scientific, sureness, whenNew, write } from "/assets/draw.js";
import { drift } from "/assets/drift.js";
import { Live } from "/assets/live.js";
import { Regions } from "/assets/regions.js";

/** Seconds over which rates are measured. */
const WINDOW = 5;
/** Milliseconds for which a picture waits for the decision on it. */
const PATIENCE = 1000;
const MOST_HELD = 12;

export class Camera {
  constructor(name, act) {
    this.name = name;
    this.history = [];
    this.held = [];
    this.act = act;
    const title = `camera-${name}`;
    this.state = make("span", { class: "chip" });
    this.departed = make("span", { class: "chip warn", hidden: true }, "departs");
    this.rates = make("span", { class: "small soft number" });
    this.pause = make("button", { class: "button plain", type: "button", hidden: true }, "Pause");
    this.pause.addEventListener("click", () => this.act(this.paused ? "resume" : "pause", { camera: name }));
    this.canvas = make("canvas", { role: "img", "aria-label": `What camera ${name} sees now`, width: 16, height: 9 });
    this.live = new Live(`/live/${encodeURIComponent(name)}`, (picture) => this.came(picture));
    this.regions = new Regions(name, () => this.decide(this.decision));
    this.over = make("p", { class: "over", role: "status", hidden: true });
    this.view = make("figure", { class: "view" }, make("div", { class: "frame" }, this.canvas, this.regions.layer), this.over);
    this.verdict = make("div", {});
    this.drift = make("details", { class: "drift", hidden: true });
    this.way = make("div", { class: "way" });
    this.element = make("section", { class: "card camera", "aria-labelledby": title, "data-camera": name },
      make("h2", {}, make("span", { id: title }, name), this.state, this.departed, this.rates, this.pause), this.view,
      make("div", { class: "verdict" }, this.regions.picker, this.verdict), this.drift, this.way);
    this.inSight = true;
    new IntersectionObserver(([entry]) => {
      this.inSight = entry.isIntersecting;
      this.watch(this.wanted);
    }).observe(this.view);
  }

  /** Pictures come only while somebody can see them. */
  watch(wanted) {
    this.wanted = wanted;
    this.live.turn(Boolean(wanted && this.inSight));
  }

  /** A picture is shown with the decision on it, not before; for one on which there is none nobody waits. */
  came(picture) {
    picture.since = Date.now();
    this.held.push(picture);
    if (!picture.decided || !this.decision) this.expose(this.held.length);
    else this.settle();
  }

  /** Shows the newest of the pictures whose decision has come, or the newest where none comes. */
  settle() {
    clearTimeout(this.waiting);
    const ready = this.held.findLastIndex((picture) => picture.frame <= this.decision.frame) + 1;
    if (ready > 0) this.expose(ready);
    if (this.held.length === 0) return;
    const left = this.held[0].since + PATIENCE - Date.now();
    if (left <= 0 || this.held.length > MOST_HELD) this.expose(this.held.length);
    else this.waiting = setTimeout(() => this.settle(), left);
  }

  /** Draws the last of the first `count` that are held, and lets go of these. */
  expose(count) {
    const gone = this.held.splice(0, count);
    const { bitmap, frame } = gone.at(-1);
    if (this.canvas.width !== bitmap.width || this.canvas.height !== bitmap.height) {
      [this.canvas.width, this.canvas.height] = [bitmap.width, bitmap.height];
    }
    this.canvas.getContext("2d").drawImage(bitmap, 0, 0);
    for (const picture of gone) picture.bitmap.close();
    this.element.setAttribute("data-picture", frame);
    this.element.setAttribute("data-live", "yes");
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
    this.element.setAttribute("data-state", camera.state ?? "starting");
    this.drift.hidden = !camera.drift;
    this.departed.hidden = camera.drift?.state !== "departed";
    if (camera.drift) whenNew(this.drift, camera.drift, drift);
    if (!camera.decision || camera.decision.number !== this.decision?.number) this.decide(camera.decision);
  }

  /** Shows what was decided of a frame, and the picture that waited for it. */
  decide(decision) {
    this.decision = decision;
    const looked = this.regions.show(decision?.regions ?? []);
    whenNew(this.verdict, looked && { ...looked, latency_ms: 0, box: 0 }, verdict);
    whenNew(this.way, looked && { ...looked, time: decision.time }, way);
    if (decision) {
      this.element.setAttribute("data-decision", decision.number);
      this.element.setAttribute("data-frame", decision.frame);
      this.element.setAttribute("data-latency", Math.max(0, ...decision.regions.map((region) => region.latency_ms)));
      this.element.setAttribute("data-time", decision.time);
      this.settle();
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
}

function verdict(region) {
  if (!region) return [make("p", { class: "soft" }, "No decision yet: nothing was seen that could be one.")];
  const { taxon, probability, way } = region;
  const known = taxon.rank !== "root";
  const head = known
    ? make("p", { class: "answer" },
      make("strong", {}, scientific(taxon.name, taxon.rank)),
      taxon.common_name ? make("span", {}, taxon.common_name) : null,
      make("span", { class: "soft small" }, taxon.rank),
      make("span", { class: "sure number" }, sureness(probability)))
    : make("p", { class: "answer" }, make("strong", {}, "An organism"), make("span", { class: "soft" }, "not sure of any kingdom"));
  if (!way) return [head];
  const at = way.descent.findIndex((rung) => rung.answer);
  return [head, make("p", { class: "why" }, ...why(region, way.descent[at], way.descent[at + 1]))];
}

function way(region) {
  if (!region) return [];
  const key = make("p", { class: "key" },
    make("span", {}, make("b"), "how sure an answer must be"),
    make("span", {}, "frame of ", clock(region.time), `, decided in ${region.latency_ms.toFixed(0)} ms`));
  if (!region.way) return [make("p", { class: "soft" }, "Other regions have more to show: the way to this answer is not kept."), key];
  const { descent, rivals } = region.way;
  const at = descent.findIndex((rung) => rung.answer);
  const ladder = make("ol", { class: "ladder", "aria-label": "Lineage with probabilities" },
    ...descent.map((rung, place) => step(rung, at < 0 || place > at)));
  return [ladder, ...others(region.stop, rivals), key];
}

function why(seen, answer, next) {
  if (seen.stop === "leaf") return [`Sure down to the ${answer?.rank ?? "taxon"}: the model knows nothing more exact.`];
  if (seen.stop === "prior") return ["The model sees nothing of what is expected here."];
  if (!next) return ["Nothing is sure enough."];
  const above = answer ? `Stopped at ${answer.rank}: ` : "";
  return [`${above}the likeliest ${next.rank}, `, scientific(next.name, next.rank),
    `, has ${sureness(next.probability)} and needs ${percent(next.threshold)}.`];
}

function others(stop, rivals) {
  const found = rivals.slice(1).filter((rung) => rung.probability >= 0.005);
  if (stop === "leaf" || found.length === 0) return [];
  const parts = found.flatMap((rung, place) => [place ? ", " : "", scientific(rung.name, rung.rank), ` ${sureness(rung.probability)}`]);
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
