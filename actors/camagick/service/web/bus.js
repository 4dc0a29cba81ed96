// The page of a bus: its actors as a graph, their figures, and what goes over an edge.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const BOX = { width: 150, height: 44, across: 70, down: 26 };
const COLUMNS = [["#", "number"], ["actor", "name"], ["state", "state"], ["iteration", "seq"],
  ["1/s", "rate"], ["in B/s", "rate_in"], ["out B/s", "rate_out"], ["latency ms", "latency_ms"],
  ["busy", "busy"], ["kept", "kept"], ["resends", "resends"], ["gaps", "gaps"],
  ["missed", "missed"], ["restarts", "restarts"]];
const $ = (id) => document.getElementById(id);
const panels = new Panels($("panels"));
let leave = () => {};

function amount(number) {
  for (const [size, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (number >= size) return `${Number((number / size).toPrecision(3))}${letter}`;
  }
  return String(Number(number.toPrecision(3)));
}

function make(name, attributes, parent) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  parent.append(element);
  return element;
}

// Columns by the longest way from a source, rows by the order of the command line.
function places(actors) {
  const column = new Map(), rows = [], found = new Map();
  for (const actor of actors) {  // producers come before their consumers
    const x = Math.max(0, ...actor.inputs.map((one) => column.get(one) + 1));
    column.set(actor.number, x);
    rows[x] = (rows[x] ?? 0) + 1;
    found.set(actor.number, [x, rows[x] - 1]);
  }
  return found;
}

class Graph {
  constructor(element, bus) {
    this.boxes = new Map();
    this.labels = new Map();
    const spots = [...places(bus.actors)];
    const wide = Math.max(...spots.map(([, [x]]) => x)) + 1;
    const tall = Math.max(...spots.map(([, [, y]]) => y)) + 1;
    const svg = make("svg", {
      width: wide * (BOX.width + BOX.across), height: tall * (BOX.height + BOX.down) + BOX.down,
    }, element);
    this.at = new Map(spots.map(([number, [x, y]]) => [number,
      [8 + x * (BOX.width + BOX.across), BOX.down / 2 + y * (BOX.height + BOX.down)]]));
    for (const actor of bus.actors) for (const one of actor.inputs) this.edge(svg, one, actor.number);
    for (const actor of bus.actors) this.actor(svg, actor);
  }

  edge(svg, from, to) {
    const [x1, y1] = this.at.get(from), [x2, y2] = this.at.get(to);
    const start = [x1 + BOX.width, y1 + BOX.height / 2], end = [x2, y2 + BOX.height / 2];
    const middle = (start[0] + end[0]) / 2;
    const path = `M ${start} C ${middle} ${start[1]} ${middle} ${end[1]} ${end}`;
    const line = make("path", { d: path, class: "edge", "data-from": from, "data-to": to }, svg);
    const grip = make("path", { d: path, class: "grip", "data-from": from, "data-to": to }, svg);
    grip.addEventListener("click", () => choose(from, line));
    const text = make("text", { x: middle, y: (start[1] + end[1]) / 2 - 6, "text-anchor": "middle" }, svg);
    this.labels.set(`${from} ${to}`, [text, from]);
  }

  actor(svg, actor) {
    const [x, y] = this.at.get(actor.number);
    const group = make("g", { class: "actor", "data-actor": actor.number }, svg);
    group.addEventListener("click", () => logbook.choose(actor.name));
    make("rect", { x, y, width: BOX.width, height: BOX.height, rx: 6 }, group);
    const busy = make("rect", { x, y: y + BOX.height - 4, width: 0, height: 4, class: "busy" }, group);
    make("text", { x: x + 8, y: y + 18 }, group).textContent = actor.name;
    const second = make("text", { x: x + 8, y: y + 34 }, group);
    const host = make("text", { x, y: y - 4, class: "host" }, group);
    this.boxes.set(actor.number, { group, busy, second, host });
  }

  update(rows) {
    const by = new Map(rows.map((row) => [row.number, row]));
    for (const [number, box] of this.boxes) {
      const row = by.get(number);
      box.second.textContent = `${amount(row.rate)}/s  ${row.state === "running" ? "" : row.state}`;
      box.host.textContent = row.host ? `@${row.host}` : "";
      box.busy.setAttribute("width", BOX.width * row.busy);
      box.group.setAttribute("class", `actor ${row.state} ${trouble(row) ? "trouble" : ""}`);
    }
    for (const [text, from] of this.labels.values()) {
      text.textContent = `${amount(by.get(from).rate_out)}B/s`;
    }
  }
}

const trouble = (row) => row.restarts > 0 || row.gaps > 0 || row.refused > 0;

function table(rows) {
  const lines = rows.map((row) => {
    const line = document.createElement("tr");
    line.className = trouble(row) ? "trouble" : "";
    for (const [, key] of COLUMNS) {
      const value = row[key];
      const text = key === "busy" ? `${Math.round(100 * value)}%`
        : typeof value === "number" && key !== "seq" && key !== "number" ? amount(value) : value;
      line.insertCell().textContent = text;
    }
    return line;
  });
  const head = document.createElement("tr");
  for (const [title] of COLUMNS) {
    head.append(Object.assign(document.createElement("th"), { textContent: title }));
  }
  $("table").replaceChildren(head, ...lines);
}

function choose(number, line) {
  leave();
  document.querySelectorAll(".edge.chosen").forEach((one) => one.classList.remove("chosen"));
  line.classList.add("chosen");
  panels.clear();
  $("hint").textContent = "";
  leave = listen(`/tap/${number}`, (buffer, next) => {
    if (typeof buffer !== "string") { panels.take(buffer, next); return; }
    $("hint").textContent = buffer;
    next();
  }, () => {});
}

// The last lines of every process, or of the one that was clicked.
const logbook = {
  lines: {},
  whose: "",
  choose(name) { this.whose = this.whose === name ? "" : name; this.show(); },
  show() {
    const all = Object.entries(this.lines).filter(([name]) => !this.whose || name === this.whose)
      .flatMap(([name, lines]) => lines.map((line) => ({ ...line, name })));
    all.sort((one, two) => one.t - two.t);
    $("whose").textContent = this.whose ? `of ${this.whose}` : "of all; a click on an actor shows its own";
    $("log").replaceChildren(...all.slice(-200).map((line) => {
      const at = new Date(1000 * line.t).toLocaleTimeString();
      return Object.assign(document.createElement("div"), {
        className: line.level, textContent: `${at} ${line.name}: ${line.text}`,
      });
    }));
  },
};

function control() {
  $("control").hidden = false;
  for (const how of ["drain", "stop"]) {
    $(how).onclick = async () => {
      const headers = { Authorization: `Bearer ${$("token").value}` };
      const answer = await fetch(`/end/${how}`, { method: "POST", headers });
      $("answer").textContent = await answer.text();
    };
  }
}

fetch("/bus").then((answer) => answer.json()).then((bus) => {
  document.title = `${bus.bus} - caspy`;
  $("name").textContent = bus.bus;
  $("command").textContent = bus.command;
  const graph = new Graph($("graph"), bus);
  if (bus.control) control();
  listen("/logs", (text, next) => {
    logbook.lines = JSON.parse(text);
    logbook.show();
    next();
  }, () => {});
  listen("/live", (text, next) => {
    const { rows, state } = JSON.parse(text);
    setTimeout(next, 100);
    $("state").textContent = state;
    graph.update(rows);
    table(rows);
  }, (text) => { if (text !== "live") $("state").textContent = text; });
});
