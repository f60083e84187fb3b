// How things are drawn: elements, tables that keep their rows, and plots. All text that comes from elsewhere becomes text nodes.

/** A table of so many columns fits into every window. */
const NARROW_COLUMNS = 3;

const SVG = "http://www.w3.org/2000/svg";

function byId(id) {
  return document.getElementById(id);
}

/** An element with attributes and children, each an element or text. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function svgElement(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** Touches the text only if it changes: what is selected stays so, and nothing is read out twice. */
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Shows or hides, likewise. */
function setHidden(node, isHidden) {
  if (node.hidden !== isHidden) node.hidden = isHidden;
}

/** A list of as many items as there are texts, each with a level. */
function fillList(list, items) {
  while (list.children.length > items.length) list.lastChild.remove();
  while (list.children.length < items.length) list.append(element("li"));
  items.forEach(({ level, text }, index) => {
    const item = list.children[index];
    if (item.dataset.level !== level) item.dataset.level = level;
    setText(item, text);
  });
}

/**
 * A table in `place`, or the text `empty` if it has no rows. A column is `{ title, kind }`: `number` is set to the right, `name`
 * heads its row, `bar` draws a part of one. A cell is a text, or `{ text, title, level, part }`.
 */
function fillTable(place, label, columns, rows, empty = "") {
  const shape = JSON.stringify(columns);
  if (place.dataset.shape !== shape) {
    place.dataset.shape = shape;
    place.replaceChildren(newTable(label, columns), element("p", { class: "muted empty" }));
  }
  const [frame, nothing] = place.children;
  setHidden(frame, rows.length === 0);
  setHidden(nothing, rows.length > 0);
  setText(nothing, rows.length > 0 ? "" : empty);
  const body = frame.querySelector("tbody");
  while (body.children.length > rows.length) body.lastChild.remove();
  while (body.children.length < rows.length) body.append(newRow(columns));
  rows.forEach((cells, row) => cells.forEach((cell, column) => fillCell(body.children[row].children[column], cell)));
}

/** A table that may be wider than the window is in a frame that scrolls by itself, also by keys. */
function newTable(label, columns) {
  const titles = columns.map(({ title, kind = "text" }) => element("th", { scope: "col", class: kind }, title));
  const head = columns.some(({ title }) => title) ? [element("thead", {}, element("tr", {}, ...titles))] : [];
  const table = element("table", {}, element("caption", { class: "unseen" }, label), ...head, element("tbody"));
  const keys = columns.length > NARROW_COLUMNS ? { role: "region", "aria-label": `${label}, as a table`, tabindex: "0" } : {};
  return element("div", { class: "frame", ...keys }, table);
}

function newRow(columns) {
  const cell = ({ title, kind = "text" }) =>
    kind === "name"
      ? element("th", { scope: "row", class: kind, "data-title": title })
      : element("td", { class: kind, "data-title": title });
  return element("tr", {}, ...columns.map(cell));
}

function fillCell(node, cell) {
  const { text, title = "", level = "", part = null } = typeof cell === "string" ? { text: cell } : cell;
  if (part === null) setText(node, text);
  else fillBar(node, part);
  if (node.title !== title) node.title = title;
  if ((node.dataset.level ?? "") !== level) node.dataset.level = level;
}

/** A bar whose length is a part of one. It only repeats what a number beside it says. */
function fillBar(node, part) {
  if (!node.firstChild) node.append(element("div", { class: "bar", "aria-hidden": "true" }));
  node.firstChild.style.width = `${Math.round(part * 1000) / 10}%`;
}

/** The tile of a plot: its title, what it is at this moment, its line, and a note. */
class Tile {
  static WIDTH = 300;
  static HEIGHT = 56;

  constructor({ name, title, unit }) {
    this.name = name;
    this.value = element("span", { class: "value" });
    this.note = element("p", { class: "note muted" });
    this.ceiling = element("span", { class: "ceiling muted", "aria-hidden": "true" });
    this.svg = svgElement("svg", { viewBox: `0 0 ${Tile.WIDTH} ${Tile.HEIGHT}`, preserveAspectRatio: "none", role: "img" });
    this.area = svgElement("path", { class: "area" });
    this.line = svgElement("path", { class: "line" });
    this.mark = svgElement("path", { class: "mark" });
    this.svg.append(svgElement("path", { class: "edge", d: `M0 .5H${Tile.WIDTH}` }), this.area, this.line, this.mark);
    this.title = title;
    this.unit = unit;
    const value = element("p", {}, this.value, element("span", { class: "unit muted" }, unit));
    const plot = element("div", { class: "plot" }, this.svg, this.ceiling);
    this.root = element("article", { class: "card tile" }, element("h3", {}, title), value, plot, this.note);
  }

  /** Draws what ends at `now`, with a mark at `marked` if that is a time. */
  draw(history, now, write, marked) {
    const lines = history.lines(this.name);
    const values = lines.flat().map(([, value]) => value);
    const ceiling = niceCeiling(Math.max(0, ...values));
    const x = (at) => round(Tile.WIDTH * (1 - (now - at) / history.spanMs()));
    const y = (value) => round(Tile.HEIGHT - 1 - (value / ceiling) * (Tile.HEIGHT - 2));
    // A line of one point is as long as it is wide.
    const path = (line) => `M${line.map(([at, value]) => `${x(at)} ${y(value)}`).join("L")}h.1`;
    const area = (line) => `${path(line)}V${Tile.HEIGHT}H${x(line[0][0])}Z`;
    this.line.setAttribute("d", lines.map(path).join(""));
    this.area.setAttribute("d", lines.map(area).join(""));
    this.mark.setAttribute("d", marked === null ? "" : `M${x(marked)} 0V${Tile.HEIGHT}`);
    setText(this.ceiling, SHORT.format(ceiling));
    this.svg.setAttribute("aria-label", this.spoken(minutesText(history.spanMs()), values, write));
  }

  spoken(span, values, write) {
    if (values.length === 0) return `${this.title}: nothing is known yet`;
    const [low, high] = [Math.min(...values), Math.max(...values)].map(write);
    return `${this.title}, ${span}: from ${low} to ${high}, ${write(values.at(-1))} at the end`;
  }
}

function round(number) {
  return Math.round(number * 10) / 10;
}
