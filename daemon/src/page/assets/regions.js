// The regions of a frame: where they are, what each is taken for, and which of them is looked at more closely.
import { make, sureness, write } from "/assets/draw.js";

/** Regions drawn, the surest; a picture with more of them cannot be read. */
const DRAWN = 48;
/** Narrower than this share of the picture, only the chosen one has room for its name. */
const ROOM = 0.14;

const title = ({ taxon }) => (taxon.rank === "root" ? "an organism" : taxon.name);
const isWhole = ({ box: [left, top, right, bottom] }) => left <= 0 && top <= 0 && right >= 1 && bottom >= 1;

export class Regions {
  /** `changed` is called when somebody has chosen. */
  constructor(camera, changed) {
    this.chosen = "";
    this.changed = changed;
    this.boxes = new Map();
    this.layer = make("div", { class: "regions", "aria-hidden": "true" });
    this.select = make("select", { class: "field" });
    this.select.addEventListener("change", () => this.choose(this.select.value));
    this.picker = make("label", { class: "picker", hidden: true }, make("span", {}, "Region ", make("span", { class: "hidden" }, `of camera ${camera}`)), this.select);
  }

  choose(name) {
    this.chosen = name;
    this.changed();
  }

  /** Shows `regions`, the surest first; the one that is looked at. */
  show(regions) {
    const drawn = regions.slice(0, DRAWN);
    const looked = regions.find((region) => region.name === this.chosen) ?? regions[0];
    const several = regions.length > 1;
    for (const [name, box] of this.boxes) {
      if (!drawn.some((region) => region.name === name && !isWhole(region))) {
        box.remove();
        this.boxes.delete(name);
      }
    }
    for (const region of drawn.filter((region) => !isWhole(region))) this.draw(region, several, region === looked);
    this.picker.hidden = !several;
    // A list that changes while it is open cannot be chosen from.
    if (several && document.activeElement !== this.select) this.list(regions);
    return looked;
  }

  draw(region, several, looked) {
    let box = this.boxes.get(region.name);
    if (!box) {
      box = make("div", { class: "box" }, make("span", {}));
      box.addEventListener("click", () => this.choose(region.name));
      this.boxes.set(region.name, box);
      this.layer.append(box);
    }
    const [left, top, right, bottom] = region.box;
    const edges = { left, top, width: right - left, height: bottom - top };
    for (const [name, share] of Object.entries(edges)) box.style.setProperty(name, `${share * 100}%`);
    box.className = `box${several && looked ? " looked" : ""}${region.taxon.rank === "root" ? " vague" : ""}`;
    const label = several && (looked || right - left >= ROOM) ? `${title(region)} ${sureness(region.probability)}` : "";
    write(box.firstChild, label);
    box.firstChild.hidden = !label;
  }

  list(regions) {
    const named = [["", "the surest"], ...regions.map((region) => [region.name, `${region.name}: ${title(region)}, ${sureness(region.probability)}`])];
    while (this.select.length > named.length) this.select.remove(this.select.length - 1);
    named.forEach(([name, text], place) => {
      const option = this.select.options[place] ?? this.select.appendChild(make("option"));
      if (option.value !== name) option.value = name;
      write(option, text);
    });
    const known = named.some(([name]) => name === this.chosen);
    if (this.select.value !== (known ? this.chosen : "")) this.select.value = known ? this.chosen : "";
  }
}
