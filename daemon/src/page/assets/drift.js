// Whether a camera's answers are what they are meant to look like.
import { capital, clock, make, percent } from "/assets/draw.js";

const REASONS = {
  package_ranks: "its answers are more or less specific than those the model was measured with",
  usual_ranks: "its answers are more or less specific than they were at first",
  usual_best_leaf: "it is surer or less sure than it was at first",
  sharpness: "its pictures are sharper or softer than they were at first",
};
const RANKS = ["root", "kingdom", "phylum", "class", "order", "family", "genus", "species"];

export function drift(drift) {
  const { today, usual, package: measured } = drift;
  const departed = drift.state === "departed";
  const columns = [["today", today], ["usual", usual], ["package", measured]].filter(([, figures]) => figures);
  const row = (title, of) => {
    const cells = columns.map(([, figures]) => of(figures));
    return cells.every((cell) => cell == null) ? null
      : make("tr", {}, make("th", { scope: "row" }, title), ...cells.map((cell) => make("td", { class: "number" }, cell ?? "–")));
  };
  const decimals = (value, digits) => (value == null ? null : value.toFixed(digits));
  const found = new Set(columns.flatMap(([, figures]) => Object.keys(figures.ranks)));
  const ranks = [...RANKS.filter((rank) => found.has(rank)), ...[...found].filter((rank) => !RANKS.includes(rank))];
  return [
    make("summary", {}, departed ? "Not as it is meant to be" : "As it is meant to be", `: ${today.answers} answers of ${drift.day}`),
    departed
      ? make("p", { class: "note warn small" }, `${capital(drift.reasons.map((reason) => REASONS[reason] ?? reason).join("; "))}. A dirty lens, a new season, or a model that does not fit?`)
      : null,
    make("table", {},
      make("thead", {}, make("tr", {}, make("td"), ...columns.map(([title]) => make("th", { scope: "col" }, title)))),
      make("tbody", {}, ...[
        row("Answers", (figures) => String(figures.answers)),
        row("Mean depth", (figures) => decimals(figures.mean_depth, 2)),
        row("Mean best leaf", (figures) => (figures.mean_best_leaf == null ? null : percent(figures.mean_best_leaf))),
        ...ranks.map((rank) => row(rank === "root" ? "An organism" : capital(rank), (figures) => percent(figures.ranks[rank] ?? 0))),
        row("Sharpness", (figures) => decimals(figures.sharpness, 2)),
        row("Brightness", (figures) => decimals(figures.brightness, 0)),
      ].filter(Boolean))),
    make("p", { class: "small soft" }, "looked at ", clock(drift.time)),
  ].filter(Boolean);
}
