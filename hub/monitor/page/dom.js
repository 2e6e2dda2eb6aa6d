// Elements, made and changed without markup: whatever comes from outside is only ever text.

const SVG = "http://www.w3.org/2000/svg";
const DRAWN = new Set(["svg", "g", "path", "rect", "circle", "text", "line", "title", "tspan"]);

/** An element; `attributes` with a value of null are left out. */
export function el(tag, attributes = {}, ...children) {
  const node = DRAWN.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  set(node, attributes);
  node.append(...children);
  return node;
}

/** Change attributes where they differ; null removes one. */
export function set(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined) node.removeAttribute(name);
    else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
  }
  return node;
}

/** Change a text where it differs. */
export function say(node, text) {
  const told = String(text);
  if (node.textContent !== told) node.textContent = told;
  return node;
}

/** Keep one child of `parent` for each item, in their order: `make` it once, `update` it always. */
export function each(parent, items, key, make, update) {
  const known = parent.known ??= new Map();
  const kept = new Map();
  let after = null;
  for (const item of items) {
    const name = key(item);
    const node = known.get(name) ?? make(item);
    known.delete(name);
    kept.set(name, node);
    update(node, item);
    const place = after ? after.nextSibling : parent.firstChild;
    if (place !== node) parent.insertBefore(node, place);
    after = node;
  }
  for (const node of known.values()) node.remove();
  parent.known = kept;
}

/** A kind sentence where there is nothing to show. */
export function orEmpty(parent, items, sentence) {
  const note = parent.note ??= el("p", { class: "empty" }, sentence);
  const body = parent.body ??= parent.appendChild(el("div"));
  note.hidden = items.length > 0;
  body.hidden = !items.length;
  if (!note.parentNode) parent.append(note);
  return body;
}
