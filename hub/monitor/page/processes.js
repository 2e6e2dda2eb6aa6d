// The table of processes: on a wide screen a row each, on a phone a small card each (page.css).

import { each, el, say, set } from "./dom.js";
import { bytes, count, duration, micros, millis, percent, rate } from "./format.js";
import { draw, spark } from "./spark.js";

const latency = (row) => row.latency?.total ?? {};

/** Title, figure, how it is written, the series that is drawn beside it, what it means. */
const COLUMNS = [
  ["CPU", (row) => row.cpu_percent, percent, "cpu_percent", "100 % is one core"],
  ["Memory", (row) => row.rss, bytes, "rss", "resident"],
  ["In/s", (row) => row.in_s, rate, "in_s", "ticks taken in a second"],
  ["Out/s", (row) => row.out_s, rate, "out_s", "ticks passed on or delivered a second"],
  ["p50", (row) => latency(row).p50_us, micros, "p50_us", "half of the ticks are in the client's socket sooner after they came to the hub"],
  ["p99", (row) => latency(row).p99_us, micros, "p99_us", "99 of 100 ticks are in the client's socket sooner after they came to the hub"],
  ["Conflated/s", (row) => row.conflated_s, rate, "conflated_s", "ticks left out a second, for newer ones"],
  ["Dropped", (row) => row.dropped, count, null, "lost since it started"],
  ["Clients", (row) => row.clients, count, null, "connections"],
  ["Symbols", (row) => row.symbols, count, null, "wanted by its clients"],
  ["Lag", (row) => row.lag_ms, millis, null, "how late its loop is"],
  ["Up", (row) => (row.state === "ready" ? row.uptime_s : undefined), duration, null, "since it started"],
];

/** Draw into a table, at every board; `series` is what was, by process. */
export function processes(table) {
  const titles = COLUMNS.map(([title, , , , meaning]) => el("th", { scope: "col", title: meaning }, title));
  table.append(
    el("caption", { class: "hidden" }, "Every process of the hub and its figures"),
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Process"), ...titles)),
  );
  const body = table.appendChild(el("tbody"));
  return (board, series) => {
    each(body, board.processes, (row) => row.name, makeRow, (node, row) => updateRow(node, row, series[row.name] ?? {}));
  };
}

function makeRow() {
  const name = el("b");
  const state = el("small");
  const cells = COLUMNS.map(([title, , , drawn]) => {
    const figure = el("span");
    const line = drawn ? spark(drawn) : null;
    const cell = el("td", { "data-title": title, class: drawn ? "drawn" : null }, ...(line ? [line, figure] : [figure]));
    cell.parts = { figure, line };
    return cell;
  });
  const who = el("div", {}, el("i", { "aria-hidden": "true" }), el("span", {}, name, state));
  const node = el("tr", {}, el("th", { scope: "row" }, who), ...cells);
  node.parts = { name, state, cells };
  return node;
}

function updateRow(node, row, series) {
  const { name, state, cells } = node.parts;
  set(node, { "data-level": row.level, "data-state": row.state, "data-name": row.name });
  say(name, row.name);
  const restarts = row.restarts ? `${count(row.restarts)}× restarted` : "";
  say(state, [row.state === "ready" ? "" : row.state, restarts].filter(Boolean).join(", "));
  COLUMNS.forEach(([title, figure, written, drawn], place) => {
    const { figure: shown, line } = cells[place].parts;
    const value = figure(row);
    const counts = title === "Conflated/s" || title === "Dropped";
    const empty = value === undefined || value === null;
    cells[place].classList.toggle("none", empty || (counts && !value));
    cells[place].classList.toggle("hot", counts && value > 0);
    say(shown, written(value ?? undefined));
    if (line) {
      const was = series[drawn] ?? [];
      const shows = !empty && (!counts || was.some(Boolean));
      line.style.visibility = shows ? "" : "hidden";
      if (shows) draw(line, was);
    }
  });
}
