// The WebSocket to the monitor: comes again by itself, later each time, at once when asked.

const FIRST_MS = 500;
const LONGEST_MS = 10_000;
const SILENT_MS = 5_000;

/** Calls `take(message)` for each message, and `lost(milliseconds)` while there is no connection. */
export class Connection {
  constructor({ opened, take, lost }) {
    Object.assign(this, { opened, take, lost });
    this.tries = 0;
    addEventListener("online", () => this.now());
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.now(); });
    this.connect();
  }

  get isOpen() { return this.socket?.readyState === WebSocket.OPEN; }

  send(message) {
    if (this.isOpen) this.socket.send(JSON.stringify(message));
  }

  /** Try now, unless there is a connection or a try already. */
  now() {
    if (this.timer) this.connect();
  }

  connect() {
    clearTimeout(this.timer);
    this.timer = 0;
    const url = new URL("live", location.href);
    url.protocol = url.protocol.replace("http", "ws");
    url.hash = "";
    const socket = this.socket = new WebSocket(url);
    let open = false;
    socket.onopen = () => {
      open = true;
      this.heard();
      this.opened();
    };
    socket.onmessage = ({ data }) => {
      this.tries = 0;
      this.heard();
      this.take(JSON.parse(data));
    };
    socket.onclose = ({ reason }) => {
      clearTimeout(this.silence);
      if (socket !== this.socket) return;
      this.again(reason);
      if (!open) this.askWhy();
    };
  }

  /** What says nothing for so long has gone, whether or not the network noticed. */
  heard() {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.socket.close(), SILENT_MS);
  }

  again(reason = "") {
    const wait = Math.min(LONGEST_MS, FIRST_MS * 1.5 ** this.tries) * (0.8 + 0.4 * Math.random());
    this.tries += 1;
    this.lost(wait, reason);
    this.timer = setTimeout(() => this.connect(), wait);
  }

  /** A door that shut without a word may want a token: the page itself then asks for it. */
  async askWhy() {
    try {
      const answer = await fetch("status.json", { method: "HEAD", cache: "no-store" });
      if (answer.status === 401) location.reload();
    } catch { /* nobody is there: the next try will tell */ }
  }
}
