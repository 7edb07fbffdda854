// The fleet's table: the whole comes once, then what has changed. Rows are drawn as far as somebody scrolls, and anew only
// where they changed: what a click costs does not grow with the fleet.
import { clock, duration, make, percent, whenNew, write } from "/assets/draw.js";
import { attend } from "/assets/session.js";

const get = (id) => document.getElementById(id);
/** Rows drawn at first, and more at each approach to the last. */
const STEP = 100;

/** name of the node -> { row, text, line, stale } */
const nodes = new Map();
let shown = [];
let limit = STEP;
let changes = 0;
let rollouts = {};
let sort = { by: "node", down: false };
let kind = "all";

const cameras = (row) => Object.entries(row.cameras);
const lost = (row) => cameras(row).filter(([, state]) => state.startsWith("lost"));
const drifts = (row) => Object.entries(row.drift ?? {});
const FAILED = ["failed", "rolled-back"];
const BUSY = (phase) => !["", "running", "confirmed", ...FAILED].includes(phase ?? "");
const updating = (row) => BUSY(row.phase) || BUSY(row.config_phase);

/** What a person should look at first comes first. */
function trouble(row) {
  if (row.status === "offline") return 3;
  if (lost(row).length || FAILED.includes(row.phase) || FAILED.includes(row.config_phase)) return 2;
  if (drifts(row).length || (row.waiting ?? 0) > 100 || (row.hottest ?? 0) > 90) return 1;
  return 0;
}

const natural = new Intl.Collator(undefined, { numeric: true });
const COLUMNS = [
  ["node", "Node", (row) => row.node],
  ["status", "Status", (row) => row.status || "unknown"],
  ["seen", "Last seen", (row) => row.seen],
  ["model", "Model", (row) => row.model],
  ["phase", "Update", (row) => row.phase ?? ""],
  ["cameras", "Cameras", (row) => lost(row).length * 1000 + cameras(row).length],
  ["drift", "Drift", (row) => drifts(row).length],
  ["rate", "Decisions/s", (row) => row.rate ?? -1, true],
  ["waiting", "Waiting", (row) => row.waiting ?? -1, true],
  ["hottest", "°C", (row) => row.hottest ?? -99, true],
];

const KINDS = [
  ["all", "All", () => true],
  ["trouble", "Trouble", (row) => trouble(row) > 1],
  ["offline", "Offline", (row) => row.status !== "online"],
  ["updating", "Updating", updating],
  ["drift", "Drifting", (row) => drifts(row).length > 0],
];

function cells(row) {
  const bad = lost(row);
  const phase = row.phase ?? "";
  const progress = row.progress == null ? "" : ` ${percent(row.progress)}`;
  return [
    make("th", { scope: "row" }, row.node, row.group ? make("span", { class: "small soft" }, ` ${row.group}`) : null),
    make("td", {}, row.status || "unknown"),
    make("td", { class: "number", "data-seen": row.seen }, row.seen ? ago(row.seen) : "–"),
    make("td", {}, row.model || "–", row.engine ? make("span", { class: "small soft" }, ` ${row.engine}`) : null),
    make("td", {}, phase === "running" ? "–" : `${phase.replaceAll("-", " ")}${progress}`,
      row.config ? make("span", { class: "small soft" }, ` configuration ${row.config}${row.config_phase === "running" ? "" : ` ${row.config_phase.replaceAll("-", " ")}`}`) : null,
      row.desired ? make("span", { class: "small soft" }, ` → ${row.desired}`) : null,
      row.error ? make("span", { class: "small" }, ` ${row.error}`) : null),
    make("td", {}, bad.length ? bad.map(([name, state]) => `${name} ${state}`).join("; ") : cameras(row).map(([name]) => name).join(", ") || "–"),
    make("td", {}, drifts(row).map(([name, reasons]) => `${name}: ${reasons.replaceAll("_", " ")}`).join("; ") || "–"),
    make("td", { class: "amount" }, row.rate == null ? "–" : row.rate.toFixed(1)),
    make("td", { class: "amount" }, row.waiting == null ? "–" : String(row.waiting)),
    make("td", { class: "amount" }, row.hottest == null ? "–" : row.hottest.toFixed(0)),
  ];
}

const since = (time) => `${duration(Math.max(0, (Date.now() - Date.parse(time)) / 1000))} ago`;

function ago(time) {
  const element = clock(time, true);
  element.title = `${element.textContent} · ${element.title}`;
  element.textContent = since(time);
  return element;
}

function take(change) {
  get("gone").hidden = change.connected;
  write(get("gone"), "No connection to the broker: what stands here may be old. Trying again.");
  if (change.whole) nodes.clear();
  for (const row of change.rows) {
    const known = nodes.get(row.node) ?? { line: null };
    known.row = row;
    known.stale = true;
    known.text = [row.node, row.status, row.model, row.engine, row.group, row.phase, row.desired, row.config, row.error, row.version,
      ...Object.keys(row.cameras), ...Object.values(row.cameras), ...Object.values(row.drift ?? {})].join(" ").toLowerCase();
    nodes.set(row.node, known);
  }
  if (change.rollouts) rollouts = change.rollouts;
  if (change.rows.length || change.whole) arrange();
  showRollouts();
  changes += 1;
  get("table").dataset.changes = changes;
  if (changes === 1) performance.mark("whole");
}

/** Puts rows in order, and leaves out those that are not asked for. */
function arrange() {
  const [, , value] = COLUMNS.find(([name]) => name === sort.by);
  const [, , wanted] = KINDS.find(([name]) => name === kind);
  const words = get("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = [...nodes.values()].filter((node) => wanted(node.row) && words.every((word) => node.text.includes(word)));
  const direction = sort.down ? -1 : 1;
  for (const node of found) node.key = value(node.row);
  found.sort(({ key: a, row: one }, { key: b, row: other }) =>
    direction * (typeof a === "number" ? a - b : natural.compare(a, b)) || natural.compare(one.node, other.node));
  shown = found;
  draw();
  const all = [...nodes.values()];
  const online = all.filter(({ row }) => row.status === "online").length;
  const inTrouble = all.filter(({ row }) => trouble(row) > 1).length;
  const part = shown.length < nodes.size ? `; ${shown.length} shown` : "";
  write(get("sum"), `${nodes.size} nodes, ${online} online, ${inTrouble} in trouble${part}`);
  get("table").dataset.shown = shown.length;
  get("grid").setAttribute("aria-rowcount", shown.length + 1);
  get("empty").hidden = shown.length > 0;
  write(get("empty"), nodes.size ? "No node is like that." : "The broker knows of no node.");
}

/** The lines of the first rows; those that stand right are not moved. */
function draw() {
  const body = get("rows");
  let place = body.firstChild;
  shown.slice(0, limit).forEach((node, number) => {
    const line = lineOf(node, number);
    if (line === place) place = place.nextSibling;
    else body.insertBefore(line, place);
  });
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
  get("more").hidden = shown.length <= limit;
}

function lineOf(node, number) {
  node.line ??= make("tr", { "data-node": node.row.node });
  if (node.stale) {
    node.line.className = ["", "warn", "bad", "bad"][trouble(node.row)];
    node.line.replaceChildren(...cells(node.row));
    node.stale = false;
  }
  const index = String(number + 2);
  if (node.line.getAttribute("aria-rowindex") !== index) node.line.setAttribute("aria-rowindex", index);
  return node.line;
}

/** After another order, or another question, one begins at the top again. */
function anew() {
  limit = STEP;
  get("table").scrollTop = 0;
  arrange();
}

function showRollouts() {
  const found = Object.entries(rollouts).map(([name, desired]) => {
    const [group] = name.split("/");
    const members = [...nodes.values()].filter(({ row }) => row.group === group);
    const release = `${desired.name} ${desired.version}`;
    const at = ({ row }) => (desired.kind === "config" ? [row.config, row.config_phase] : [row.model, row.phase]);
    const running = members.filter((node) => at(node)[0] === release && !BUSY(at(node)[1])).length;
    const failed = members.filter((node) => FAILED.includes(at(node)[1])).length;
    return { group, desired, members: members.length, running, failed };
  });
  get("rollout-card").hidden = found.length === 0;
  whenNew(get("rollouts"), found, (list) => list.map(({ group, desired, members, running, failed }) => {
    const kinds = { stopped: "bad", aborted: "bad", "rolled-back": "bad", paused: "warn" };
    return make("li", { class: "card" },
      make("h3", {}, make("span", {}, `${desired.kind === "config" ? "Configuration " : ""}${desired.name} ${desired.version} → ${group}`), make("span", { class: `chip ${kinds[desired.state] ?? "good"}` }, desired.state.replaceAll("-", " "))),
      make("progress", { max: Math.max(members, 1), value: running, "aria-label": `Nodes of ${group} that run it` }),
      make("p", { class: "small soft number" }, `${running} of ${members} run it, ${failed} failed; stage ${desired.stage + 1} of ${desired.stages.length}, ${desired.stages[desired.stage] ?? 100} %`),
      desired.reason ? make("p", { class: "small" }, desired.reason) : null);
  }));
}

function heads() {
  get("heads").replaceChildren(...COLUMNS.map(([name, title, , amount]) => {
    const button = make("button", { type: "button" }, title);
    button.addEventListener("click", () => {
      sort = { by: name, down: sort.by === name ? !sort.down : ["cameras", "drift", "waiting", "hottest", "seen"].includes(name) };
      for (const head of get("heads").children) {
        head.setAttribute("aria-sort", head.dataset.by !== sort.by ? "none" : sort.down ? "descending" : "ascending");
      }
      anew();
    });
    return make("th", { scope: "col", "data-by": name, class: amount ? "amount" : false, "aria-sort": name === sort.by ? "ascending" : "none" }, button);
  }));
  get("kinds").replaceChildren(...KINDS.map(([name, title]) => {
    const button = make("button", { type: "button", class: "kind", "data-kind": name, "aria-pressed": String(name === kind) }, title);
    button.addEventListener("click", () => {
      kind = name;
      for (const other of get("kinds").children) other.setAttribute("aria-pressed", String(other.dataset.kind === kind));
      anew();
    });
    return button;
  }));
}

/** Ages go on by themselves. */
setInterval(() => {
  if (document.hidden) return;
  for (const { row, line } of shown.slice(0, limit)) {
    const time = line?.querySelector("[data-seen] time");
    if (time) write(time, since(row.seen));
  }
}, 5000);

get("find").addEventListener("input", anew);
const nearTheEnd = new IntersectionObserver(([entry]) => {
  if (!entry.isIntersecting || shown.length <= limit) return;
  limit += STEP;
  draw();
  // It tells of changes alone, and whoever scrolls fast is near the next end before it looked.
  nearTheEnd.unobserve(entry.target);
  nearTheEnd.observe(entry.target);
}, { root: get("table"), rootMargin: "600px" });
nearTheEnd.observe(get("more"));
get("filter").addEventListener("submit", (event) => event.preventDefault());

heads();
await attend({
  take,
  lost: () => {
    get("gone").hidden = false;
    write(get("gone"), "No connection to the page's server: what stands here may be old. Trying again.");
  },
});
