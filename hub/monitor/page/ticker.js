// One symbol, live: its price, what it was in the last minutes, its day, its depth.

import { each, el, say, set } from "./dom.js";
import { clock, count, price, volume } from "./format.js";
import { draw, spark } from "./spark.js";

const KEPT = 240;
const DAY = [["Open", "open", price], ["High", "high", price], ["Low", "low", price], ["Close", "close", price],
  ["Volume", "volume", volume], ["Average", "average_price", price], ["OI", "oi", volume], ["Last qty", "last_quantity", volume]];

/** `ask(symbol, mode)` tells the hub what to watch; empty is nothing. */
export class Ticker {
  constructor(parent, form, heard, ask) {
    this.form = form;
    this.heard = heard;
    this.ask = ask;
    this.symbol = "";
    this.prices = [];
    this.parts = build(parent);
    form.addEventListener("submit", (event) => { event.preventDefault(); this.watch(); });
    form.addEventListener("change", (event) => { if (event.target.name === "mode" && this.symbol) this.watch(); });
    this.note("Type a symbol and press Enter, or click one of the hottest.");
  }

  /** Watch what stands in the form, or what is given. */
  watch(symbol = this.form.elements.symbol.value, mode = this.form.elements.mode.value) {
    const asked = symbol.trim();
    this.form.elements.symbol.value = asked;
    this.form.elements.mode.value = mode;
    if (asked !== this.symbol) this.prices = [];
    this.symbol = asked;
    this.mode = mode;
    this.parts.body.hidden = true;
    this.note(asked ? "Waiting for a tick …" : "Type a symbol and press Enter, or click one of the hottest.");
    say(this.heard, "");
    this.ask(asked || null, mode);
  }

  /** After a new connection: ask again. */
  again() {
    if (this.symbol) this.ask(this.symbol, this.mode);
  }

  /** The answer to a watch. */
  answer(message) {
    if (message.symbol !== this.symbol) return;
    if (!message.ok) this.note(message.text || "That cannot be watched.", "bad");
    else if (this.parts.body.hidden) this.note("Waiting for a tick … outside of market hours there may be none.");
  }

  note(text, level = "") {
    say(this.parts.note, text);
    set(this.parts.note, { "data-level": level });
    this.parts.note.hidden = false;
  }

  /** One tick. */
  tick({ symbol, exchange, data }) {
    const { body, note, name, last, change, line, day, ladder } = this.parts;
    const ltp = Number(data.ltp);
    const before = this.prices.at(-1);
    note.hidden = true;
    body.hidden = false;
    say(name, `${exchange}:${symbol}`);
    if (Number.isFinite(ltp)) {
      this.prices.push(ltp);
      this.prices = this.prices.slice(-KEPT);
      say(last, price(ltp));
      if (before !== undefined && ltp !== before) this.flash(ltp > before ? "up" : "down");
    }
    this.showChange(change, data, ltp);
    draw(line, this.prices, { loose: true, length: Math.max(30, this.prices.length) });
    say(this.heard, `tick at ${clock(Date.now() / 1000)}`);
    const facts = DAY.filter(([, field]) => data[field] !== undefined && data[field] !== null);
    each(day, facts, ([title]) => title, makeFact, (node, [, field, written]) => say(node.parts.value, written(Number(data[field]))));
    this.showDepth(ladder, data.depth);
  }

  flash(way) {
    const { last } = this.parts;
    set(last, { "data-way": way });
    if (last.getAnimations && !matchMedia("(prefers-reduced-motion: reduce)").matches) {
      last.animate([{ opacity: 0.7 }, { opacity: 1 }], { duration: 350, easing: "ease-out" });
    }
  }

  showChange(node, data, ltp) {
    const close = Number(data.close);
    const moved = data.change !== undefined ? Number(data.change) : close ? ltp - close : NaN;
    const part = data.change_percent !== undefined ? Number(data.change_percent) : close ? (100 * moved) / close : NaN;
    const sign = moved > 0 ? "+" : moved < 0 ? "−" : "";
    set(node, { "data-way": moved > 0 ? "up" : moved < 0 ? "down" : "" });
    const share = Number.isFinite(part) ? ` (${sign}${Math.abs(part).toFixed(2)} %)` : "";
    say(node, Number.isFinite(moved) ? `${sign}${price(Math.abs(moved))}${share}` : "");
  }

  showDepth(ladder, depth) {
    const [buy, sell] = [depth?.buy ?? [], depth?.sell ?? []];
    ladder.hidden = !buy.length && !sell.length;
    const most = Math.max(1, ...[...buy, ...sell].map((level) => Number(level.quantity) || 0));
    const rows = Array.from({ length: Math.max(buy.length, sell.length) }, (_, place) => [place, buy[place], sell[place]]);
    each(ladder.parts.body, rows, ([place]) => place, makeStep, (node, [, bid, offer]) => {
      for (const [side, level] of [["buy", bid], ["sell", offer]]) {
        const { bar, quantity, price: at } = node.parts[side];
        say(quantity, level ? count(Number(level.quantity)) : "");
        say(at, level ? price(Number(level.price)) : "");
        bar.style.width = `${level ? Math.min(100, (100 * (Number(level.quantity) || 0)) / most).toFixed(1) : 0}%`;
      }
    });
  }
}

function build(parent) {
  const parts = {
    note: el("p", { class: "empty", role: "status" }), name: el("h3"), last: el("b", { class: "last" }), change: el("span", { class: "change" }),
    line: spark("price"), day: el("dl", { class: "day" }), ladder: el("table", { class: "ladder" }),
  };
  const rows = el("tbody");
  parts.ladder.append(
    el("caption", { class: "hidden" }, "Market depth"),
    el("thead", {}, el("tr", {}, ...["Bid qty", "Bid", "Offer", "Offer qty"].map((title) => el("th", { scope: "col" }, title)))), rows,
  );
  parts.ladder.parts = { body: rows };
  parts.body = el("div", { class: "quote" }, parts.name, el("p", { class: "figures" }, parts.last, parts.change), parts.line, parts.day, parts.ladder);
  parts.body.hidden = true;
  parent.append(parts.note, parts.body);
  return parts;
}

function makeFact([title]) {
  const value = el("dd");
  const node = el("div", {}, el("dt", {}, title), value);
  node.parts = { value };
  return node;
}

function makeStep() {
  const side = () => ({ bar: el("i", { "aria-hidden": "true" }), quantity: el("span"), price: el("span") });
  const [buy, sell] = [side(), side()];
  const node = el("tr", {},
    el("td", { class: "buy" }, buy.bar, buy.quantity), el("td", { class: "bid" }, buy.price),
    el("td", { class: "offer" }, sell.price), el("td", { class: "sell" }, sell.bar, sell.quantity));
  node.parts = { buy, sell };
  return node;
}
