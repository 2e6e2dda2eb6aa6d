// Figures as people read them. What is not known is a dash.

const whole = new Intl.NumberFormat("en-IN", { maximumFractionDigits: 0 });
const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const prices = new Intl.NumberFormat("en-IN", { minimumFractionDigits: 2, maximumFractionDigits: 4 });
export const NONE = "–";

const known = (value) => typeof value === "number" && Number.isFinite(value);

/** 1843 -> "1,843" */
export const count = (value) => (known(value) ? plain.format(value) : NONE);

/** Per second: 0.4, 12, 41,200, 1.24 M */
export function rate(value) {
  if (!known(value)) return NONE;
  if (value >= 1e6) return `${(value / 1e6).toFixed(2)} M`;
  return value > 0 && value < 10 ? value.toFixed(1) : plain.format(value);
}

/** 58720256 -> "56 MB" */
export function bytes(value) {
  if (!known(value)) return NONE;
  if (value >= 1e9) return `${(value / 1e9).toFixed(2)} GB`;
  if (value >= 1e6) return `${(value / 1e6).toFixed(value < 1e7 ? 1 : 0)} MB`;
  return value >= 1e3 ? `${(value / 1e3).toFixed(0)} KB` : `${value} B`;
}

/** Microseconds: "480 µs", "1.24 ms", "2.1 s" */
export function micros(value) {
  if (!known(value)) return NONE;
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)} s`;
  if (value >= 1e4) return `${(value / 1e3).toFixed(0)} ms`;
  return value >= 1e3 ? `${(value / 1e3).toFixed(2)} ms` : `${value.toFixed(0)} µs`;
}

/** Milliseconds with one digit */
export const millis = (value) => (known(value) ? `${value.toFixed(value < 10 ? 1 : 0)} ms` : NONE);

export const percent = (value) => (known(value) ? `${value.toFixed(value < 10 ? 1 : 0)} %` : NONE);

/** Seconds that have passed: "now", "42 s", "5 min", "2 h 17 min", "3 d" */
export function duration(seconds) {
  if (!known(seconds)) return NONE;
  if (seconds < 1) return "now";
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

export const ago = (seconds) => (seconds < 1 ? "just now" : `${duration(seconds)} ago`);

/** The age of a tick: "20 ms", "1.4 s", then as a duration */
export function age(seconds) {
  if (!known(seconds)) return "no tick yet";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  return seconds < 10 ? `${seconds.toFixed(1)} s` : duration(seconds);
}

export const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB");

/** Rupees, grouped as in India */
export const price = (value) => (known(value) ? prices.format(value) : NONE);

export const volume = (value) => (known(value) ? whole.format(value) : NONE);

export const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;

/** "NSE_INDEX_NIFTY" -> "NSE_INDEX:NIFTY", as one types it */
export const typed = (key) => key.replace(/^((?:[A-Z]+_INDEX)|[A-Z]+)_/, "$1:");
