// Tiles and cards: each function draws into its element, at every board.

import { each, el, orEmpty, say, set } from "./dom.js";
import { age, ago, bytes, clock, count, duration, micros, plural, rate, typed } from "./format.js";
import { draw, spark } from "./spark.js";

const TILES = [
  ["Ticks in", (board) => rate(board.totals.in_s), "a second", "in_s", (row) => row.role === "router"],
  ["Deliveries", (board) => rate(board.totals.out_s), "a second", "out_s", (row) => row.role === "shard"],
  ["Clients", (board) => count(board.totals.clients), (board) => behind(board.totals.behind), "clients", (row) => row.role === "shard"],
  ["Symbols", (board) => count(board.totals.symbols), "wanted", "symbols", (row) => row.role === "router"],
  ["Latency", (board) => micros(board.latency.total?.p50_us), (board) => `p99 ${micros(board.latency.total?.p99_us)}`, "p99_us", (row) => row.role === "shard"],
  ["Conflated", (board) => rate(board.totals.conflated_s), "a second", "conflated_s", (row) => row.role === "shard"],
];

const behind = (number) => (number ? `${count(number)} behind` : "all keep up");

export function tiles(parent) {
  return (board, series) => {
    each(parent, TILES, ([title]) => title, makeTile, (node, [title, figure, note, drawn, whose]) => {
      say(node.parts.figure, figure(board));
      say(node.parts.note, typeof note === "function" ? note(board) : note);
      set(node, { "data-title": title });
      const names = board.processes.filter(whose).map((row) => row.name);
      draw(node.parts.line, together(names.map((name) => series[name]?.[drawn] ?? []), drawn === "p99_us"));
    });
  };
}

function makeTile([title]) {
  const parts = { figure: el("b"), note: el("span"), line: spark("wide") };
  const node = el("div", { class: "tile" }, el("h3", {}, title), el("p", {}, parts.figure, parts.note), parts.line);
  node.parts = parts;
  return node;
}

/** Several series as one: their sum, or the worst of them. */
function together(all, worst) {
  const length = Math.max(0, ...all.map((values) => values.length));
  return Array.from({ length }, (_, back) => {
    const values = all.map((one) => one[one.length - length + back]).filter((value) => value !== null && value !== undefined);
    if (!values.length) return null;
    return worst ? Math.max(...values) : values.reduce((sum, value) => sum + value, 0);
  });
}

const HOPS = [
  ["routed", "in the router"], ["taken", "to the shard"], ["framed", "made a frame"], ["written", "to the socket"],
];

export function latency(parent) {
  return (board) => {
    const there = board.latency.total?.count ? ["p50_us", "p99_us", "p999_us"] : [];
    const body = orEmpty(parent, there, "Nothing was measured yet: it takes a client that gets ticks.");
    const [bars, legend] = body.parts ??= [el("div", { class: "hops" }), el("dl", { class: "legend" })];
    if (!legend.parentNode) body.append(bars, legend);
    each(bars, there, (one) => one, makeHops, (node, which) => updateHops(node, which, board.latency));
    const told = [...HOPS, ["source", "from the publisher"]].filter(([hop]) => board.latency[hop]?.count);
    each(legend, told, ([hop]) => hop, makeLegend, (node, [hop, title]) => {
      const { p50_us: usual, p99_us: late } = board.latency[hop];
      say(node.parts.title, title);
      say(node.parts.usual, micros(usual));
      say(node.parts.late, micros(late));
    });
  };
}

function makeHops(which) {
  const parts = { total: el("b"), bar: el("div", { class: "bar", "aria-hidden": "true" }) };
  const title = { p50_us: "p50", p99_us: "p99", p999_us: "p99.9" }[which];
  const node = el("div", { class: "hop" }, el("span", {}, title), parts.bar, parts.total);
  node.parts = parts;
  return node;
}

function updateHops(node, which, all) {
  const there = HOPS.filter(([hop]) => all[hop]?.[which]);
  const sum = there.reduce((whole, [hop]) => whole + all[hop][which], 0) || 1;
  each(node.parts.bar, there, ([hop]) => hop, ([hop]) => el("i", { class: hop }), (part, [hop]) => {
    part.style.flexGrow = (all[hop][which] / sum).toFixed(4);
  });
  say(node.parts.total, micros(all.total[which]));
}

function makeLegend([hop]) {
  const parts = { title: el("span"), usual: el("dd"), late: el("dd") };
  const node = el("div", {}, el("dt", {}, el("i", { class: hop, "aria-hidden": "true" }), parts.title), parts.usual, parts.late);
  node.parts = parts;
  return node;
}

/** `watch` is called with the symbol of a row that is clicked, and its mode. */
export function hottest(parent, watch) {
  return (board) => {
    const body = orEmpty(parent, board.hottest, "No symbol ticks.");
    body.className = "hottest";
    const most = Math.max(1e-9, ...board.hottest.map((one) => one.rate));
    each(body, board.hottest.slice(0, 10), (one) => `${one.key} ${one.mode}`, () => makeHot(watch), (node, one) => {
      node.one = one;
      say(node.parts.name, typed(one.key));
      say(node.parts.mode, one.mode);
      say(node.parts.rate, rate(one.rate));
      node.parts.bar.style.width = `${((100 * one.rate) / most).toFixed(1)}%`;
    });
  };
}

function makeHot(watch) {
  const parts = { bar: el("i", { "aria-hidden": "true" }), name: el("span"), mode: el("small"), rate: el("b") };
  const node = el("button", { type: "button", title: "Watch it in the live ticker" }, parts.bar, parts.name, parts.mode, parts.rate);
  node.parts = parts;
  node.addEventListener("click", () => watch(typed(node.one.key), node.one.mode.toLowerCase()));
  return node;
}

export function slowest(parent) {
  return (board) => {
    const slow = board.slowest.filter((one) => one.behind || one.conflated || one.pending || one.unsent_bytes);
    const body = orEmpty(parent, slow, "No client is slow.");
    body.className = "slowest";
    each(body, slow.slice(0, 10), (one) => `${one.shard} ${one.client}`, makeSlow, (node, one) => {
      set(node, { "data-level": one.behind ? "warn" : "ok" });
      say(node.parts.who, one.user || "not logged in");
      say(node.parts.where, `${one.client} · shard-${one.shard}`);
      say(node.parts.state, one.behind ? `behind for ${duration(one.behind_s)}` : "keeps up now");
      say(node.parts.pending, `${count(one.pending)} pending`);
      say(node.parts.unsent, `${bytes(one.unsent_bytes)} unsent`);
      say(node.parts.conflated, `${count(one.conflated)} conflated`);
      say(node.parts.out, `${rate(one.out_s)}/s of ${plural(one.symbols, "symbol")}`);
    });
  };
}

function makeSlow() {
  const parts = {
    who: el("b"), state: el("span", { class: "pill" }), where: el("small"),
    pending: el("span"), unsent: el("span"), conflated: el("span"), out: el("span"),
  };
  const node = el("article", {}, el("header", {}, parts.who, parts.state), parts.where,
    el("p", {}, parts.pending, parts.unsent, parts.conflated, parts.out));
  node.parts = parts;
  return node;
}

export function feeds(parent) {
  return (board) => {
    const body = orEmpty(parent, board.feeds, "No feed runs.");
    body.className = "feeds";
    each(body, board.feeds, (one) => one.name, makeFeed, (node, one) => {
      const parts = node.parts;
      set(node, { "data-level": one.level, "data-name": one.name });
      say(parts.name, one.name);
      say(parts.state, one.state);
      say(parts.subscribed, one.limit ? `${count(one.subscribed)} of ${count(one.limit)} symbols` : plural(one.subscribed, "symbol"));
      say(parts.rate, `${rate(one.in_s)}/s`);
      say(parts.last, one.last_tick_s === null ? "no tick yet" : `last tick ${age(one.last_tick_s)} ago`);
      parts.meter.hidden = !one.limit;
      parts.fill.style.width = `${Math.min(100, (100 * one.subscribed) / (one.limit || 1)).toFixed(1)}%`;
      say(parts.problem, one.problem || "");
      const more = one.stale > one.stale_first.length ? ", …" : "";
      say(parts.stale, one.stale ? `${plural(one.stale, "topic")} stale: ${one.stale_first.join(", ")}${more}` : "");
    });
  };
}

function makeFeed() {
  const parts = {
    name: el("b"), state: el("span", { class: "pill" }), subscribed: el("span"), rate: el("span"), last: el("span"),
    fill: el("i"), problem: el("p", { class: "problem" }), stale: el("p", { class: "problem" }),
  };
  parts.meter = el("div", { class: "meter", "aria-hidden": "true" }, parts.fill);
  const node = el("article", {}, el("header", {}, parts.name, parts.state), el("p", {}, parts.subscribed, parts.rate, parts.last),
    parts.meter, parts.problem, parts.stale);
  node.parts = parts;
  return node;
}

export function events(parent) {
  return (board) => {
    const body = orEmpty(parent, board.events, "Nothing has happened yet, which is good.");
    const list = body.parts ??= body.appendChild(el("ol", { class: "events", tabindex: "0", "aria-label": "Events" }));
    each(list, [...board.events].reverse(), (one) => `${one.at} ${one.who} ${one.text}`, makeEvent, (node, one) => {
      say(node.parts.when, ago(board.at - one.at));
    });
  };
}

function makeEvent(one) {
  const when = el("time", { title: clock(one.at), datetime: new Date(one.at * 1000).toISOString() });
  const node = el("li", { "data-level": one.level }, el("i", { "aria-hidden": "true" }), el("p", {}, el("b", {}, one.who), ` ${one.text}`), when);
  node.parts = { when };
  return node;
}
