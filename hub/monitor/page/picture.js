// The hub as a picture: feeds -> router -> shards -> clients. What does not change is drawn once.
// Where NATS connects several machines, the uplink stands with the shards, and edges with clients.
//
// Where there is room each shard has its own edges; on a narrow screen, or with many shards, they
// stand in one frame with one edge in and one out.

import { each, el, say, set } from "./dom.js";
import { count, millis, percent, plural, rate } from "./format.js";

const NARROW = 700;
const MANY = 16;
const GAP = 12;

/** Draw into `parent`, again at every board and whenever its width changes. */
export function picture(parent) {
  const frame = el("rect", { class: "frame", rx: 12 });
  const edges = el("g", { class: "edges" });
  const nodes = el("g", { class: "nodes" });
  const labels = el("g", { class: "labels" });
  const svg = el("svg", { role: "img" }, frame, edges, nodes, labels);
  parent.append(svg);
  let last = null;
  const show = (board) => {
    last = board ?? last;
    const width = Math.floor(parent.clientWidth);
    if (!last || !width) return;
    const plan = layout(last, width);
    set(svg, { viewBox: `0 0 ${width} ${plan.height}`, width, height: plan.height, "aria-label": summary(last) });
    frame.style.display = plan.frame ? "" : "none";
    if (plan.frame) set(frame, plan.frame);
    each(edges, plan.edges, (one) => one.id, makeEdge, updateEdge);
    each(nodes, plan.nodes, (one) => one.id, makeNode, updateNode);
    each(labels, plan.edges, (one) => one.id, () => el("text", { class: "flow" }), updateLabel);
  };
  new ResizeObserver(() => show(null)).observe(parent);
  return show;
}

function summary(board) {
  const { totals, hub } = board;
  const uplink = board.processes.find((row) => row.role === "uplink");
  const others = uplink ? ` The uplink sends ${rate(uplink.out_s)} a second to ${plural(uplink.edges ?? 0, "edge")}.` : "";
  return `${plural(board.feeds.length, "feed")} send ${rate(totals.in_s)} ticks a second to the router, `
    + `which serves ${plural(hub.shards, "shard")}; they deliver ${rate(totals.out_s)} a second to ${plural(totals.clients, "client")}.${others}`;
}

// What is there.

function things(board) {
  const rows = new Map(board.processes.map((row) => [row.name, row]));
  const feeds = board.feeds.map((feed) => ({
    id: `feed-${feed.name}`, title: feed.name, row: rows.get(`feed-${feed.name}`) ?? {}, level: feed.level, in_s: feed.in_s,
    note: feed.state !== "connected" ? feed.state : feed.name === "nats" ? plural(rows.get("feed-nats")?.machines ?? 0, "machine") : plural(feed.subscribed, "symbol"),
  }));
  const router = { id: "router", title: "router", row: rows.get("router") ?? {}, level: rows.get("router")?.level ?? "bad" };
  const readers = board.processes.filter((row) => row.role === "shard" || row.role === "uplink").map((row) => ({
    id: row.name, title: row.name, row, level: row.level, in_s: row.in_s, out_s: row.out_s,
  }));
  const { clients, behind } = board.totals;
  const note = behind ? `${count(behind)} behind` : "all keep up";
  const all = { id: "clients", title: plural(clients, "client"), note, level: behind ? "warn" : "ok", out_s: board.totals.out_s };
  const uplink = rows.get("uplink");
  const there = uplink?.nats_connected;
  const edges = uplink && {
    id: "edges", title: plural(uplink.edges ?? 0, "edge"), note: there ? `NATS ${uplink.nats_server}` : "NATS is away",
    level: there ? "ok" : "bad", out_s: uplink.out_s,
  };
  return { feeds, router, readers, ends: [board.hub.shards || !uplink ? all : null, edges].filter(Boolean) };
}

function layout(board, width) {
  const found = things(board);
  if (width < NARROW) return upright(found, width);
  return found.readers.length > MANY ? framed(found, width) : fanned(found, width);
}

/** Each shard with its own edges. */
function fanned({ feeds, router, readers, ends }, width) {
  const wide = Math.min(210, Math.max(150, width * 0.17));
  const columns = [1, width * 0.285, width * 0.57, width - wide * 0.86 - 1];
  const high = readers.length <= 6 ? 58 : readers.length <= 10 ? 46 : 34;
  const gap = readers.length <= 6 ? 14 : 8;
  const height = Math.max(readers.length * (high + gap), feeds.length * 74, ends.length * 96) + 4;
  const nodes = [
    ...stack(feeds, columns[0], wide, 60, 14, height),
    ...stack([router], columns[1], wide, 72, 0, height),
    ...stack(readers, columns[2], wide, high, gap, height),
    ...stack(ends, columns[3], wide * 0.86, 72, 24, height),
  ];
  return { height, nodes, edges: fan(nodes) };
}

function fan(nodes) {
  const by = new Map(nodes.map((node) => [node.id, node]));
  const [router, clients, uplink, others] = ["router", "clients", "uplink", "edges"].map((id) => by.get(id));
  const feeds = nodes.filter((node) => node.id.startsWith("feed-"));
  const shards = nodes.filter((node) => node.row?.role === "shard");
  const readers = uplink ? [...shards, uplink] : shards;
  return [
    ...feeds.map((node, place) => across(node, router, spread(router, place, feeds.length), node.in_s, "start", node.level)),
    ...readers.map((node, place) => across(router, node, null, node.in_s, "end", node.level, spread(router, place, readers.length))),
    ...shards.map((node, place) => across(node, clients, spread(clients, place, shards.length), node.out_s, "start", node.level)),
    ...(uplink ? [across(uplink, others, null, uplink.out_s, "start", others.level)] : []),
  ];
}

/** Where the edges of one side of a node arrive, evenly. */
const spread = (node, place, all) => node.y + node.h * (all === 1 ? 0.5 : 0.2 + (0.6 * place) / (all - 1));

function across(from, to, toY, value, labelled, level, fromY = null) {
  const [x1, x2] = [from.x + from.w, to.x];
  const [y1, y2] = [fromY ?? from.y + from.h / 2, toY ?? to.y + to.h / 2];
  const bend = (x2 - x1) / 2;
  const starts = labelled === "start";
  const below = starts ? y2 < y1 - 4 : y1 < y2 - 4; // on the side to which the edge does not bend
  const y = (starts ? y1 : y2) + (below ? 16 : -8);
  const label = { x: starts ? x1 + 10 : x2 - 10, y, "text-anchor": labelled };
  return { id: `${from.id}>${to.id}`, d: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`, value, label, level };
}

/** The shards in one frame, beside the others. */
function framed({ feeds, router, readers, ends }, width) {
  const wide = Math.min(190, width * 0.17);
  const inside = { x: width * 0.5, w: width * 0.3 };
  const columns = Math.max(2, Math.floor(inside.w / 104));
  const tiles = grid(readers, inside.x + GAP, GAP, inside.w - 2 * GAP, columns, 50);
  const height = Math.max(tiles.bottom + GAP, feeds.length * 74, 96) + 2;
  const frame = { id: "frame", x: inside.x, y: 1, w: inside.w, h: height - 2 };
  const nodes = [
    ...stack(feeds, 1, wide, 60, 14, height),
    ...stack([router], width * 0.26, wide, 72, 0, height),
    ...tiles.nodes,
    ...stack(ends, width - wide * 0.86 - 1, wide * 0.86, 72, 24, height),
  ];
  const by = new Map(nodes.map((node) => [node.id, node]));
  const edges = feeds.map((feed, place) => across(by.get(feed.id), by.get("router"), spread(by.get("router"), place, feeds.length), feed.in_s, "start", feed.level));
  const sum = readers.reduce((all, one) => all + (one.in_s ?? 0), 0);
  edges.push(across(by.get("router"), frame, null, sum, "end", "ok"));
  edges.push(...ends.map((end) => across(frame, by.get(end.id), null, end.out_s, ends.length > 1 ? "end" : "start", end.id === "edges" ? end.level : "ok")));
  return { height, nodes, edges, frame: { x: frame.x, y: frame.y, width: frame.w, height: frame.h } };
}

/** From top to bottom, for a phone. */
function upright({ feeds, router, readers, ends }, width) {
  const reach = 44;
  const top = grid(feeds, 1, 1, width - 2, Math.min(2, feeds.length), 60);
  const middle = { ...router, x: width / 2 - 95, y: top.bottom + reach, w: 190, h: 72 };
  const begin = middle.y + middle.h + reach;
  const tiles = grid(readers, GAP, begin + GAP, width - 2 * GAP, readers.length > 6 ? 3 : Math.min(2, readers.length), 50);
  const frame = { id: "frame", x: 1, y: begin, w: width - 2, h: tiles.bottom + GAP - begin };
  const wide = Math.min(190, (width - GAP) / ends.length);
  const left = (width - ends.length * wide - (ends.length - 1) * 8) / 2;
  const last = ends.map((end, place) => ({ ...end, x: left + place * (wide + 8), y: frame.y + frame.h + reach, w: wide, h: 64 }));
  const sum = readers.reduce((all, one) => all + (one.in_s ?? 0), 0);
  const edges = [
    ...top.nodes.map((node) => down(node, middle, node.in_s, node.level)),
    down(middle, frame, sum, "ok"), ...last.map((end) => down(frame, end, end.out_s, end.id === "edges" ? end.level : "ok", true)),
  ];
  return {
    height: last[0].y + last[0].h + 2, nodes: [...top.nodes, middle, ...tiles.nodes, ...last], edges,
    frame: { x: frame.x, y: frame.y, width: frame.w, height: frame.h },
  };
}

function down(from, to, value, level, parting = false) {
  const [x1, y1, x2, y2] = [from.x + from.w / 2, from.y + from.h, to.x + to.w / 2, to.y];
  const bend = (y2 - y1) / 2;
  const left = parting ? x2 < x1 - 4 : x1 < x2 - 4; // the label is on the side where no other edge is
  const y = (y1 + y2) / 2 + (x1 === x2 ? 4 : parting ? -6 : 14);
  const label = { x: (x1 + x2) / 2 + (left ? -8 : 10), y, "text-anchor": left ? "end" : "start" };
  return { id: `${from.id}>${to.id}`, d: `M${x1} ${y1}C${x1} ${y1 + bend} ${x2} ${y2 - bend} ${x2} ${y2}`, value, label, level };
}

function stack(items, x, w, h, gap, height) {
  const first = (height - items.length * h - (items.length - 1) * gap) / 2;
  return items.map((item, place) => ({ ...item, x, y: first + place * (h + gap), w, h }));
}

function grid(items, x, y, width, columns, h) {
  const w = (width - (columns - 1) * 8) / Math.max(1, columns);
  const nodes = items.map((item, place) => ({
    ...item, x: x + (place % columns) * (w + 8), y: y + Math.floor(place / columns) * (h + 8), w, h,
  }));
  return { nodes, bottom: y + Math.ceil(items.length / columns) * (h + 8) - 8 };
}

// How it is drawn.

function makeNode() {
  const parts = {
    box: el("rect", { class: "box", rx: 10 }), edge: el("rect", { class: "side", rx: 2 }),
    title: el("text", { class: "title" }), note: el("text", { class: "note" }),
    track: el("rect", { class: "track", rx: 1.5, height: 3 }), bar: el("rect", { class: "load", rx: 1.5, height: 3 }),
  };
  const node = el("g", {}, ...Object.values(parts));
  node.parts = parts;
  return node;
}

function updateNode(node, { x, y, w, h, title, note, row = {}, level, id }) {
  const { box, edge, title: head, note: below, track, bar } = node.parts;
  const away = row.state && row.state !== "ready";
  const loaded = row.cpu_percent !== undefined && !away;
  set(node, { class: "node", "data-level": level, "data-id": id });
  set(box, { x, y, width: w, height: h });
  set(edge, { x: x + 6, y: y + h / 2 - Math.min(14, h / 2 - 8), width: 3.5, height: 2 * Math.min(14, h / 2 - 8) });
  say(head, title);
  const told = [away ? row.state : note, loaded ? percent(row.cpu_percent) : "", loaded && w > 138 ? `lag ${millis(row.lag_ms)}` : ""];
  const flat = h < 40;
  const shown = (flat && w > 138 ? told.slice(0, 2) : told).filter(Boolean);
  const short = note && w < 150 ? shown.slice(0, 1) : note && !away ? shown.slice(0, 2) : shown;
  say(below, short.join(" · "));
  set(head, { x: x + 18, y: flat ? y + h / 2 + 2 : y + h / 2 - 3 });
  set(below, flat
    ? { x: x + w - 10, y: y + h / 2 + 2, "text-anchor": "end" }
    : { x: x + 18, y: y + h / 2 + 13, "text-anchor": "start" });
  const room = w - 28;
  const shows = row.cpu_percent !== undefined;
  track.style.display = bar.style.display = shows ? "" : "none";
  set(track, { x: x + 18, y: y + h - 8, width: room });
  set(bar, { x: x + 18, y: y + h - 8, width: Math.max(0, Math.min(1, (loaded ? row.cpu_percent : 0) / 100)) * room });
}

function makeEdge() {
  const base = el("path", { class: "way" });
  const flow = el("path", { class: "moving" });
  const node = el("g", {}, base, flow);
  node.parts = { base, flow };
  return node;
}

function updateEdge(node, { d, value, level }) {
  const { base, flow } = node.parts;
  const much = value > 0 ? Math.log10(1 + value) : 0; // 0 to 6 or so
  const wide = (1 + much * 0.85).toFixed(1);
  set(node, { "data-level": level, "data-speed": much ? Math.min(4, Math.ceil(much)) : 0 });
  set(base, { d, "stroke-width": wide });
  set(flow, { d, "stroke-width": (1.6 + much * 0.45).toFixed(1) });
}

function updateLabel(node, { value, label }) {
  set(node, label);
  say(node, value === undefined ? "" : `${rate(value)}/s`);
}
