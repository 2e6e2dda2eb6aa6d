// Ticks in Node 22 or newer, without a package:   HUB_API_KEY=... node client.mjs NSE:RELIANCE,NSE_INDEX:NIFTY
// Node 20 and 21 want a flag for their WebSocket: HUB_API_KEY=... node --experimental-websocket client.mjs NSE:RELIANCE
const [names = "NSE:RELIANCE,NSE_INDEX:NIFTY", url = "ws://127.0.0.1:8765"] = process.argv.slice(2);
const symbols = names.split(",").map((name) => ({ exchange: name.split(":")[0], symbol: name.slice(name.indexOf(":") + 1) }));
let wait = 250;

function connect() {
  const socket = new WebSocket(url), say = (what) => socket.send(JSON.stringify(what));
  socket.onopen = () => say({ action: "authenticate", api_key: process.env.HUB_API_KEY, batch: true });
  socket.onmessage = ({ data }) => [JSON.parse(data)].flat().forEach(take); // an array is a batch
  socket.onclose = socket.onerror = ({ code = "no connection", reason = "" }) => { // Node 20 may tell of either alone
    socket.onclose = socket.onerror = null;
    console.error(`closed: ${code} ${reason}; again in ${wait} ms`);
    setTimeout(connect, wait * (0.5 + Math.random() / 2));
    wait = Math.min(2 * wait, 5000);
  };
  function take(message) {
    if (message.type === "market_data") console.log(message.exchange, message.symbol, message.data.ltp);
    else if (message.status === "error") { console.error(message.message); process.exit(1); }
    else if (message.type === "auth") { wait = 250; say({ action: "subscribe", symbols, mode: "Quote" }); }
    else message.subscriptions?.filter((row) => row.message).forEach((row) => console.error(row.symbol, row.message));
  }
}
connect();
