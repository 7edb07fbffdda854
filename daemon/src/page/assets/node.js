// The page of a node: states come as events, each is drawn over the one before.
import { Camera } from "/assets/camera.js";
import { Controls } from "/assets/controls.js";
import { bytes, capital, clock, duration, make, percent, scientific, sureness, whenNew, write } from "/assets/draw.js";
import { attend } from "/assets/session.js";

const get = (id) => document.getElementById(id);
const cameras = new Map();
const controls = new Controls(act);
let entry = {};

async function act(kind, payload) {
  const headers = entry.csrf ? { "X-Fieldmark-Csrf": entry.csrf } : {};
  const answer = await fetch(`/api/command/${kind}`, { method: "POST", headers, body: JSON.stringify(payload) });
  if (answer.status === 401) location.assign("/login");
  if (!answer.ok) throw new Error((await answer.text()).trim());
  return answer.json();
}

function show(state) {
  get("gone").hidden = true;
  document.title = `${state.node} · fieldmark`;
  write(get("node"), state.node);
  const model = state.info?.model;
  write(get("model"), model ? `${model.name} ${model.version} on ${state.info.engine}` : "");
  for (const camera of state.cameras) {
    if (!cameras.has(camera.name)) {
      cameras.set(camera.name, new Camera(camera.name, act));
      get("cameras").append(cameras.get(camera.name).element);
    }
    cameras.get(camera.name).show(camera, state);
    cameras.get(camera.name).watch(!document.hidden);
  }
  whenNew(get("tracks"), state.tracks, (tracks) => tracks.map(track));
  get("no-tracks").hidden = state.tracks.length > 0;
  get("tracks").hidden = state.tracks.length === 0;
  showDay(state.day);
  whenNew(get("chips"), glance(state), (parts) => parts.map(([kind, text]) => make("li", { class: `chip ${kind}` }, text)));
  whenNew(get("health"), health(state), (rows) => rows.flatMap(([term, text, kind]) =>
    [make("dt", {}, term), make("dd", { class: `number ${kind ?? ""}` }, text)]));
  controls.show(state);
}

function track(track) {
  const goes = track.type === "end" ? "" : " · still there";
  const picture = track.pictured
    ? make("img", { src: `/thumbnail/${encodeURIComponent(track.camera)}/${track.id}?${track.type === "end" ? "end" : track.hits}`, alt: "", loading: "lazy" })
    : make("span", { class: "none" });
  const { name, rank, common_name: common } = track.taxon;
  return make("li", {}, picture,
    make("div", {},
      make("div", {}, rank === "root" ? "An organism" : scientific(name, rank), common ? ` ${common}` : "",
        track.watch.length ? make("span", { class: "watched" }, `on the watch list: ${track.watch.join(", ")}`) : null),
      make("div", { class: "small soft" }, clock(track.time, true), ` · ${track.camera} · ${track.hits === 1 ? "1 frame" : `${track.hits} frames`}${goes}`)),
    make("span", { class: "sure number" }, sureness(track.probability)));
}

function showDay(day) {
  const taxa = Object.values(day.taxa);
  get("no-day").hidden = taxa.length > 0;
  const title = get("day-title");
  write(title, day.date ? `Seen on ${new Date(`${day.date}T00:00Z`).toLocaleDateString([], { day: "numeric", month: "long", timeZone: "UTC" })} (UTC)` : "Seen today");
  const open = new Set([...get("day").querySelectorAll("details:not([open])")].map((details) => details.dataset.path));
  whenNew(get("day"), taxa, (taxa) => branches(grow(taxa), "", open));
}

/** A tree of taxa from their lineages; counts are those at and below. */
function grow(taxa) {
  const root = { children: new Map(), count: 0 };
  for (const taxon of taxa) {
    let place = root;
    taxon.lineage.forEach((name, depth) => {
      if (!place.children.has(name)) place.children.set(name, { name, children: new Map(), count: 0 });
      place = place.children.get(name);
      place.count += taxon.tracks;
      if (depth === taxon.lineage.length - 1) Object.assign(place, { rank: taxon.rank, common: taxon.common_name });
    });
  }
  return root;
}

function branches(node, path, closed) {
  const children = [...node.children.values()].sort((one, other) => other.count - one.count || one.name.localeCompare(other.name));
  return children.map((child) => {
    // A taxon with one way on and no answers of its own is passed over by name only.
    const names = [child];
    let last = child;
    while (last.children.size === 1 && !last.rank) {
      [last] = last.children.values();
      names.push(last);
    }
    const here = `${path}/${names.map((name) => name.name).join("/")}`;
    const passed = names.slice(0, -1).map((name) => name.name);
    const above = (passed.length > 2 ? [passed[0], "…", passed.at(-1)] : passed).join(" › ");
    const line = [
      make("span", {},
        above ? make("span", { class: "small soft" }, `${above} › `) : null,
        scientific(last.name, last.rank), last.common ? ` ${last.common}` : ""),
      make("span", { class: "number" }, String(child.count)),
    ];
    if (last.children.size === 0) return make("li", {}, make("span", {}, ...line));
    return make("li", {}, make("details", { open: !closed.has(here), "data-path": here },
      make("summary", {}, ...line), make("ul", {}, ...branches(last, here, closed))));
  });
}

function glance(state) {
  const lost = state.cameras.filter((camera) => camera.state === "lost");
  const streaming = state.cameras.filter((camera) => camera.state === "streaming").length;
  const chips = [
    lost.length
      ? ["bad", `camera ${lost.map((camera) => camera.name).join(", ")} lost`]
      : [streaming === state.cameras.length ? "good" : "warn", state.cameras.length === 1 ? `camera ${state.cameras[0].state ?? "starting"}` : `${streaming} of ${state.cameras.length} cameras`],
    state.broker.connected ? ["good", "broker connected"] : ["bad", "no broker"],
  ];
  if (state.outbox.waiting > 20) chips.push(["warn", `${state.outbox.waiting} events wait`]);
  if (!state.outbox.durable) chips.push(["warn", "events in memory only"]);
  if (state.machine.time_source === "unsynchronised") chips.push(["warn", "clock not set"]);
  if (state.model?.error) chips.push(["bad", `update ${state.model.phase}`]);
  if (state.read_only) chips.push(["", "read-only"]);
  return chips;
}

function health(state) {
  const { info, model, broker, outbox, machine, disk } = state;
  const rows = [];
  for (const camera of state.cameras) {
    const losses = camera.status?.losses ? `, lost ${camera.status.losses} ×` : "";
    const still = camera.frames ? `, ${camera.frames.dropped} dropped, ${camera.frames.skipped} skipped` : "";
    rows.push([`Camera ${camera.name}`, `${camera.state ?? "starting"}${losses}${still}`, camera.state === "lost" ? "bad" : ""]);
  }
  if (info) {
    rows.push(["Engine", info.engine]);
    rows.push(["Model", `${info.model.name} ${info.model.version}`]);
    rows.push(["Threshold in force", `${info.threshold.toFixed(2)}${info.target ? ` for ${percent(info.target)}` : ""}`]);
  }
  if (model) {
    const progress = model.progress == null ? "" : `, ${percent(model.progress)}`;
    const desired = model.desired ? ` ${model.desired.name} ${model.desired.version}` : "";
    rows.push(["Update", model.phase === "running" ? "none offered" : `${capital(model.phase.replaceAll("-", " "))}${desired}${progress}`]);
    if (model.error) rows.push(["", model.error, "bad"]);
  }
  rows.push(["Broker", broker.connected ? `connected, lost ${broker.losses} ×` : broker.reason ?? "connecting", broker.connected ? "" : "bad"]);
  rows.push(["Outbox", `${outbox.waiting} waiting, ${outbox.acknowledged} sent${outbox.durable ? "" : ", in memory only"}`, outbox.durable ? "" : "warn"]);
  rows.push(["Clock", machine.time_source, machine.time_source === "unsynchronised" ? "warn" : ""]);
  for (const [zone, degrees] of Object.entries(machine.temperatures_c)) {
    rows.push([capital(zone.replace(/[-_]?therm(al)?$/i, "")), `${degrees.toFixed(0)} °C`, degrees >= 85 ? "bad" : ""]);
  }
  if (disk?.free_bytes != null) {
    const share = disk.free_bytes / disk.size_bytes;
    rows.push(["Disk", `${bytes(disk.free_bytes)} free`, share < 0.03 ? "bad" : share < 0.1 ? "warn" : ""]);
  }
  if (machine.rss_bytes) rows.push(["Memory", bytes(machine.rss_bytes)]);
  if (info) rows.push(["Running for", duration((Date.parse(state.time) - Date.parse(info.started)) / 1000)]);
  rows.push(["Looking now", String(state.viewers.pages)]);
  return rows;
}

entry = await attend({
  take: show,
  lost: () => { get("gone").hidden = false; },
  seen: (visible) => { for (const camera of cameras.values()) camera.watch(visible); },
});
