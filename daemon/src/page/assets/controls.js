// The target dial and the watch list. Each change goes the way of any command, and its reply is shown.
import { make, percent, whenNew, write } from "/assets/draw.js";

const get = (id) => document.getElementById(id);
/** Milliseconds in which the new value has to show itself. */
const PATIENCE = 3000;

export class Controls {
  constructor(act) {
    this.act = act;
    this.touched = { dial: false, watch: false };
    get("target").addEventListener("input", () => {
      this.touched.dial = true;
      this.promise();
    });
    get("taxa").addEventListener("input", () => { this.touched.watch = true; });
    get("dial").addEventListener("submit", (event) => this.setTarget(event));
    get("watching").addEventListener("submit", (event) => this.setWatch(event));
  }

  show(state) {
    this.state = state;
    const may = (kind) => state.commands.includes(kind);
    get("dial").hidden = !may("target");
    get("watching").hidden = !may("watch");
    get("control-card").hidden = !may("target") && !may("watch");
    const points = state.dial.points;
    get("target").max = points.length - 1;
    if (!this.touched.dial) {
      // Between two measured targets the higher one's threshold holds.
      const asked = state.dial.asked.target;
      const place = points.findIndex((point) => (asked ? point.target >= asked - 1e-9 : point.threshold >= state.info?.threshold));
      get("target").value = place < 0 ? points.length - 1 : place;
    }
    if (!this.touched.watch) {
      const text = state.watch.join("\n");
      if (get("taxa").value !== text) get("taxa").value = text;
    }
    this.promise();
  }

  chosen() {
    return this.state.dial.points[Number(get("target").value)];
  }

  promise() {
    const point = this.chosen();
    if (!point) return;
    const most = Object.entries(point.ranks).sort((one, other) => other[1] - one[1]).slice(0, 2);
    get("target").setAttribute("aria-valuetext", percent(point.target));
    const { pictures } = this.state.dial;
    const now = this.state.info?.threshold;
    whenNew(get("promise"), [point, pictures, now], () => [
      ["Asked for", percent(point.target)],
      ["Threshold", `${point.threshold.toFixed(2)}${now != null && Math.abs(now - point.threshold) > 1e-9 ? ` (now ${now.toFixed(2)})` : ""}`],
      [`Right on ${pictures} pictures`, `${percent(point.accuracy)} (${percent(point.accuracy_low)} to ${percent(point.accuracy_high)})`],
      ["Mean depth of answers", `${point.mean_depth.toFixed(1)} of 7`],
      ["Mostly", most.map(([rank, share]) => `${rank} ${percent(share)}`).join(", ")],
    ].flatMap(([term, text]) => [make("dt", { class: "soft" }, term), make("dd", { class: "number" }, text)]));
  }

  async setTarget(event) {
    event.preventDefault();
    const point = this.chosen();
    const before = this.state.info?.threshold;
    await this.change("set-target", "said-target", "target", { value: point.target, persist: get("keep-target").checked }, async () => {
      this.touched.dial = false;
      const now = await this.until((state) => Math.abs((state.info?.threshold ?? -1) - point.threshold) < 1e-9);
      const value = (number) => (number == null ? "?" : number.toFixed(2));
      return now ? `threshold ${value(before)} → ${value(now.info.threshold)}, in force and published` : "in force";
    });
  }

  async setWatch(event) {
    event.preventDefault();
    const taxa = get("taxa").value.split("\n").map((line) => line.trim()).filter(Boolean);
    await this.change("set-watch", "said-watch", "watch", { taxa, persist: get("keep-watch").checked }, async () => {
      this.touched.watch = false;
      const now = await this.until((state) => JSON.stringify(state.watch) === JSON.stringify(taxa));
      if (!now) return "in force";
      return taxa.length ? `${taxa.length === 1 ? "one taxon is" : `${taxa.length} taxa are`} watched for` : "nothing is watched for";
    });
  }

  async change(button, said, kind, payload, told) {
    get(button).disabled = true;
    const place = get(said);
    place.hidden = true;
    try {
      const reply = await this.act(kind, payload);
      const good = reply.state === "done";
      place.className = `note small ${good ? "good" : "bad"}`;
      const more = reply.reason ? `; ${reply.reason}` : "";
      write(place, good ? `Done: ${await told()}${more}.` : `Refused: ${reply.reason}`);
    } catch (error) {
      place.className = "note small bad";
      write(place, `Not done: ${error.message}`);
    }
    place.hidden = false;
    get(button).disabled = false;
  }

  /** The state once it is as wished; nothing where that takes too long. */
  async until(wished) {
    const begun = Date.now();
    while (Date.now() - begun < PATIENCE) {
      if (wished(this.state)) return this.state;
      await new Promise((resume) => setTimeout(resume, 50));
    }
    return null;
  }
}
