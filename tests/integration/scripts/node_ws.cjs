// What a user of Node's `ws` does; prints findings as JSON. Arguments: address, API key.
"use strict";
const WebSocket = require("ws");

const [url, key] = process.argv.slice(2);
const say = (what, value) => console.log("FOUND " + JSON.stringify([what, value]));
const WANTED = [{ symbol: "RELIANCE", exchange: "NSE" }, { symbol: "NIFTY", exchange: "NSE_INDEX" }];
const ws = new WebSocket(url + "/ws?x=1"); // offers permessage-deflate
const ticks = [];
let ponged = false;

ws.on("upgrade", () => say("extensions", ws.extensions));
ws.on("open", () => {
  ws.send(JSON.stringify({ action: "authenticate", api_key: key }));
  ws.send(Buffer.from(JSON.stringify({ action: "subscribe", symbols: WANTED, mode: "quote" })));
  ws.ping("are you there");
});
ws.on("pong", (data) => { ponged = data.toString() === "are you there"; });
ws.on("message", (data, isBinary) => {
  if (isBinary) say("binary", true);
  const message = JSON.parse(data.toString());
  if (message.type === "auth") say("auth", message.status);
  if (message.type === "subscribe") say("subscribe", message.subscriptions.map((row) => row.status));
  if (message.type === "market_data" && ticks.push(message) === 20) {
    say("symbols", [...new Set(ticks.map((tick) => tick.symbol))].sort());
    say("modes", [...new Set(ticks.map((tick) => tick.mode))]);
    say("pong", ponged);
    ws.close(1000, "Paused");
  }
});
ws.on("error", (error) => say("error", String(error)));
ws.on("close", (code) => { say("end", code); });
setTimeout(() => process.exit(1), 20000).unref();
