// The page: takes boards from the monitor and has each part draw itself.

import { events, feeds, hottest, latency, slowest, tiles } from "./cards.js";
import { Connection } from "./connection.js";
import { each, el, say, set } from "./dom.js";
import { clock, duration } from "./format.js";
import { picture } from "./picture.js";
import { processes } from "./processes.js";
import { Ticker } from "./ticker.js";

const KEPT = 120;
const OLD_S = 3;
const WORDS = { ok: "All is well", warn: "Needs a look", bad: "Something is wrong" };
const TITLES = { ok: "OK", warn: "WARN", bad: "BAD" };
const SERIES = ["cpu_percent", "rss", "in_s", "out_s", "conflated_s", "clients", "symbols"];
const $ = (id) => document.getElementById(id);

let board = null;
let series = {};
let heardAt = 0;

const ticker = new Ticker($("ticker"), $("ask"), $("heard"), (symbol, mode) => connection.send({ watch: symbol, mode }));
const watch = (symbol, mode) => {
  ticker.watch(symbol, mode);
  $("h-ticker").scrollIntoView({ block: "nearest" });
};
const parts = [
  picture($("picture")), tiles($("tiles")), processes($("processes")), latency($("latency")), hottest($("hottest"), watch),
  slowest($("slowest")), feeds($("feeds")), events($("events")), header,
];

const connection = new Connection({ opened: () => ticker.again(), take, lost });
$("lost").querySelector("button").addEventListener("click", () => connection.now());
document.addEventListener("visibilitychange", draw);
setInterval(showAge, 1000);

function take(message) {
  if (message.type === "history") begin(message);
  else if (message.type === "board") takeBoard(message);
  else if (message.type === "watch") ticker.answer(message);
  else if (message.type === "tick") ticker.tick(message);
}

/** What was before this page came. Another build of the page than this one is loaded anew, once. */
function begin(message) {
  const mine = document.querySelector("meta[name=page]").content;
  if (message.page && message.page !== mine && sessionStorage.getItem("reloaded") !== message.page) {
    sessionStorage.setItem("reloaded", message.page);
    location.reload();
  }
  series = message.series;
}

function takeBoard(message) {
  board = message;
  heardAt = performance.now();
  const names = new Set();
  for (const row of board.processes) {
    names.add(row.name);
    const mine = series[row.name] ??= {};
    for (const figure of SERIES) note(mine, figure, row[figure]);
    note(mine, "p50_us", row.latency?.total?.p50_us);
    note(mine, "p99_us", row.latency?.total?.p99_us);
  }
  for (const name of Object.keys(series)) if (!names.has(name)) delete series[name];
  $("lost").hidden = true;
  document.body.classList.remove("stale");
  $("main").removeAttribute("aria-busy");
  draw();
}

function note(mine, figure, value) {
  const values = mine[figure] ??= [];
  values.push(value ?? null);
  if (values.length > KEPT) values.splice(0, values.length - KEPT);
}

/** Nobody looks at a hidden page; its title is read all the same. */
function draw() {
  if (!board) return;
  const worst = board.reasons[0];
  document.title = `${TITLES[board.level] ?? board.level}${worst ? `: ${worst}` : ""} – Shardhub`;
  if (!document.hidden) for (const part of parts) drawPart(part);
}

/** A part that cannot draw what it is given keeps no other from doing so. */
function drawPart(part) {
  try {
    part(board, series);
  } catch (error) {
    console.error(error);
  }
}

function header() {
  say($("version"), board.version);
  const level = $("level");
  set(level, { "data-level": board.level });
  say(level.querySelector("b"), WORDS[board.level] ?? board.level);
  const reasons = $("reasons");
  reasons.hidden = !board.reasons.length;
  set(reasons, { "data-level": board.level });
  each(reasons, board.reasons, (one) => one, (one) => el("li", {}, one), () => {});
  say($("where"), [board.hub.url, board.hub.bus, ...(board.hub.nats ? [`${board.hub.nats.role} by ${board.hub.nats.servers.join(", ")}`] : [])].filter(Boolean).join("  ·  "));
  showAge();
}

function showAge() {
  const old = board ? (performance.now() - heardAt) / 1000 : 0;
  const live = connection.isOpen && board && old < OLD_S;
  set($("clock"), { "data-live": live ? "yes" : "no" });
  if (board) say($("clock").querySelector("time"), clock(board.at));
  say($("age"), live ? "live" : board ? `${duration(old)} old` : "");
}

function lost(wait, reason) {
  const level = $("level");
  set(level, { "data-level": "none" });
  say(level.querySelector("b"), "No connection");
  document.title = "No connection – Shardhub";
  document.body.classList.add("stale");
  const text = reason ? `The monitor closed the connection: ${reason}.` : "The monitor does not answer. Ticks do not pass through it, so clients may well be served.";
  say($("lost").querySelector("span"), `${text} Trying again in ${Math.ceil(wait / 1000)} s.`);
  $("lost").hidden = false;
  showAge();
}
