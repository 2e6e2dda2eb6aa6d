// Small lines of what was. They are for the eye; the figure stands beside them.

import { el, set } from "./dom.js";

const WIDE = 120;
const HIGH = 24;

/** An empty line; `kind` gives it its colour. */
export function spark(kind = "") {
  const area = el("path", { class: "area" });
  const line = el("path", { class: "line", "vector-effect": "non-scaling-stroke" });
  const svg = el("svg", {
    class: `spark ${kind}`, viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", "aria-hidden": "true",
  }, area, line);
  svg.parts = { area, line };
  return svg;
}

/** Draw values, oldest first; null is a gap. From zero, unless `loose`: then from the least. */
export function draw(svg, values, { loose = false, length = 120 } = {}) {
  const there = values.filter((value) => value !== null && value !== undefined);
  const most = Math.max(...there, loose ? -Infinity : 1e-9) * (loose ? 1 : 1.15);
  const least = loose ? Math.min(...there) : 0;
  const span = most - least || 1;
  const step = WIDE / Math.max(1, length - 1);
  const first = WIDE - (values.length - 1) * step;
  let line = "";
  let area = "";
  let begun = null;
  let x = 0;
  const end = () => {
    if (begun !== null) area += `L${x.toFixed(1)} ${HIGH}L${begun.toFixed(1)} ${HIGH}Z`;
    begun = null;
  };
  values.forEach((value, place) => {
    if (value === null || value === undefined) { end(); return; }
    x = first + place * step;
    const y = (HIGH - 2 - ((value - least) / span) * (HIGH - 4)).toFixed(1);
    const move = `${begun === null ? "M" : "L"}${x.toFixed(1)} ${y}`;
    if (begun === null) begun = x;
    line += move;
    area += move;
  });
  end();
  set(svg.parts.line, { d: line || "M0 0" });
  set(svg.parts.area, { d: area || "M0 0" });
}
