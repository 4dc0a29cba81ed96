// Panels: one for each tag, drawn on a canvas. Used by the page of a bus and by --to-plot web=.
"use strict";

const HISTORY = 600;
const FONT = "12px system-ui, sans-serif";

// The colours of viridis at nine places (matplotlib, CC0), and what lies between them.
const VIRIDIS = [[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141],
  [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37]];
const COLOURS = new Uint32Array(256);
for (let level = 1; level < 256; level++) {
  const place = (level - 1) / 254 * 8, left = Math.min(7, Math.floor(place)), part = place - left;
  const [r, g, b] = [0, 1, 2].map(
    (c) => Math.round(VIRIDIS[left][c] * (1 - part) + VIRIDIS[left + 1][c] * part));
  COLOURS[level] = (255 << 24) | (b << 16) | (g << 8) | r;
}
COLOURS[0] = (255 << 24) | (200 << 16) | (200 << 8) | 200;

function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  for (const entry of header.tags) {
    const at = 4 + length + entry.at;
    if (entry.kind === "line") entry.values = new Float32Array(buffer, at, entry.points);
    if (entry.kind === "image") entry.values = new Uint16Array(buffer, at, entry.shape[0] * entry.shape[1]);
    if (entry.kind === "colours") entry.values = new Uint8Array(buffer, at, 3 * entry.shape[0] * entry.shape[1]);
  }
  return header;
}

function short(number) {
  if (number === null || !Number.isFinite(number)) return "not a number";
  const size = Math.abs(number);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return number.toExponential(2);
  return String(Number(number.toPrecision(5)));
}

// What an axis has to reach from and to; on a log scale what is not positive does not count.
function extent(values, log, style) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (log && !(value > 0)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) [low, high] = log ? [1, 10] : [0, 1];
  if (low === high) [low, high] = log ? [low / 2, high * 2] : [low - 0.5, high + 0.5];
  return [style.low ?? low, style.high ?? high];
}

// What was chosen for a panel: its style from the command line, and what its buttons have changed.
class Panel {
  constructor(tag) {
    this.element = document.createElement("figure");
    this.element.className = "panel";
    this.element.dataset.tag = tag;
    this.title = document.createElement("figcaption");
    this.canvas = document.createElement("canvas");
    const bar = document.createElement("div");
    bar.className = "tools";
    this.buttons = {
      log: this.button(bar, "log", () => { this.log = !this.log; }),
      hold: this.button(bar, "hold", () => { this.held = this.held ? null : this.limits; }),
      fill: this.button(bar, "fill", () => { this.fill = !this.fill; }),
    };
    this.known = document.createElement("div");
    this.known.className = "known";
    this.element.append(this.title, this.canvas, bar, this.known);
    this.tag = tag;
    this.history = [];
    this.view = [0, 1, 0, 1];  // what is seen: left, right, top, bottom, as parts of the whole
    this.held = null;
    watch(this.canvas, this);
  }

  button(bar, text, change) {
    const button = Object.assign(document.createElement("button"), { textContent: text });
    button.onclick = () => { change(); this.draw(); };
    bar.append(button);
    return button;
  }

  take(entry, x) {
    if (!this.entry) {
      this.style = entry.style || {};
      this.log = Boolean(this.style.log);
      this.fill = this.style.aspect === "free";
    }
    this.entry = entry;
    this.x = x && x.full === entry.full ? x.values : null;
    if (entry.kind === "number") {
      this.history.push(entry.value === null ? NaN : entry.value);
      if (this.history.length > HISTORY) this.history.shift();
    }
    this.draw();
  }

  // Pan and zoom: the point at (x, y), parts of the canvas, moves by (dx, dy), and all is scaled.
  move(x, y, dx, dy, factor) {
    const both = this.entry && (this.entry.kind === "image" || this.entry.kind === "colours");
    const [left, right] = shifted(this.view[0], this.view[1], x, dx, factor);
    const [top, bottom] = both ? shifted(this.view[2], this.view[3], y, dy, factor) : [0, 1];
    this.view = [left, right, top, bottom];
    this.draw();
  }

  reset() { this.view = [0, 1, 0, 1]; this.draw(); }

  draw() {
    const entry = this.entry;
    if (!entry) return;
    const units = entry.units ? ` [${entry.units}]` : "";
    const value = entry.kind === "number" ? ` = ${short(entry.value)}` : "";
    const shape = entry.full ? `  ${[].concat(entry.full).join(" x ")}` : "";
    this.title.textContent = `${this.tag}${value}${units}${shape}`;
    this.element.dataset.kind = entry.kind;
    this.known.textContent = (entry.known || []).join("  ");
    this.element.classList.toggle("alarm", Boolean(entry.severity));
    for (const [name, on] of [["log", this.log], ["hold", this.held], ["fill", this.fill]]) {
      this.buttons[name].setAttribute("aria-pressed", Boolean(on));
    }
    this.buttons.fill.hidden = !["image", "colours"].includes(entry.kind);
    this.buttons.log.hidden = this.buttons.hold.hidden = ["text", "colours"].includes(entry.kind);
    const { canvas } = this, scale = window.devicePixelRatio || 1;
    const width = canvas.clientWidth || 400, height = canvas.clientHeight || 240;
    canvas.width = width * scale;
    canvas.height = height * scale;
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    pen.font = FONT;
    const ink = getComputedStyle(this.element).color;
    const style = this.held ? { low: this.held[0], high: this.held[1] } : this.style;
    if (entry.kind === "number") this.line(pen, width, height, this.history, ink, style, "iterations");
    else if (entry.kind === "line") this.line(pen, width, height, entry.values, ink, style, "", entry.full);
    else if (entry.kind === "text") this.text(pen, width, entry.text, ink);
    else this.image(pen, width, height, entry, ink, style);
  }

  line(pen, width, height, all, ink, style, label, full) {
    const from = Math.max(0, Math.floor(this.view[0] * all.length));
    const values = all.slice(from, Math.max(Math.ceil(this.view[1] * all.length), from + 2));
    const x = this.x ? this.x.slice(from, from + values.length) : null;
    const [low, high] = this.limits = extent(values, this.log, style);
    const up = this.log ? Math.log : (number) => number;
    const left = 64, bottom = height - 20, top = 8, right = width - 8;
    pen.fillStyle = ink;
    pen.strokeStyle = ink;
    pen.globalAlpha = 0.25;
    pen.strokeRect(left, top, right - left, bottom - top);
    pen.globalAlpha = 1;
    pen.textAlign = "right";
    pen.fillText(short(high), left - 4, top + 10, left - 6);
    pen.fillText(short(low), left - 4, bottom, left - 6);
    const per = (full || all.length) / all.length;
    const ends = x ? extent(x, false, {}) : [Math.round(from * per), Math.round((from + values.length) * per) - 1];
    pen.fillText(`${short(ends[1])} ${label}`, right, height - 5);
    pen.textAlign = "left";
    pen.fillText(short(ends[0]), left, height - 5);
    pen.save();
    pen.beginPath();
    pen.rect(left, top, right - left, bottom - top);
    pen.clip();
    pen.beginPath();
    pen.strokeStyle = "#2c718e";
    pen.lineWidth = 1.5;
    const step = (right - left) / Math.max(1, values.length - 1);
    const wide = (right - left) / (ends[1] - ends[0]), tall = (bottom - top) / (up(high) - up(low));
    let drawn = false;
    values.forEach((value, index) => {
      if (Number.isNaN(value) || (this.log && value <= 0)) { drawn = false; return; }
      const across = x ? left + (x[index] - ends[0]) * wide : left + index * step;
      const y = bottom - (up(value) - up(low)) * tall;
      if (drawn) pen.lineTo(across, y); else pen.moveTo(across, y);
      drawn = true;
    });
    pen.stroke();
    pen.restore();
  }

  // The colour of each of the levels that an image is sent in.
  colours(entry, style) {
    const low = style.low ?? (this.log ? Math.max(entry.low, entry.high / 65535) : entry.low);
    const high = style.high ?? entry.high;
    this.limits = [low, high];
    const table = new Uint32Array(65536), step = (entry.high - entry.low) / 65534;
    const up = this.log ? Math.log : (number) => number;
    const scale = 254 / Math.max(up(high) - up(low), Number.MIN_VALUE);
    table[0] = COLOURS[0];
    for (let level = 1; level < 65536; level++) {
      const value = entry.low + (level - 1) * step;
      const place = value <= low ? 0 : value >= high ? 254 : (up(value) - up(low)) * scale;
      table[level] = COLOURS[1 + Math.round(place)];
    }
    return table;
  }

  image(pen, width, height, entry, ink, style) {
    const [rows, columns] = entry.shape;
    const picture = new ImageData(columns, rows), pixels = new Uint32Array(picture.data.buffer);
    if (entry.kind === "image") {
      const table = this.colours(entry, style);
      for (let i = 0; i < pixels.length; i++) pixels[i] = table[entry.values[i]];
    } else {
      for (let i = 0; i < pixels.length; i++) {
        const at = 3 * i, { values } = entry;
        pixels[i] = (255 << 24) | (values[at + 2] << 16) | (values[at + 1] << 8) | values[at];
      }
    }
    this.sheet ??= new OffscreenCanvas(1, 1);
    Object.assign(this.sheet, { width: columns, height: rows });
    this.sheet.getContext("2d").putImageData(picture, 0, 0);
    const bar = entry.kind === "image" ? 76 : 0;
    const [left, right, top, bottom] = this.view;
    const part = Math.min((width - bar) / entry.full[1], height / entry.full[0]);
    const wide = this.fill ? width - bar : entry.full[1] * part, tall = this.fill ? height : entry.full[0] * part;
    pen.imageSmoothingEnabled = false;
    pen.drawImage(this.sheet, left * columns, top * rows, (right - left) * columns, (bottom - top) * rows,
      0, 0, wide, tall);
    if (!bar) return;
    for (let y = 0; y < tall; y++) {
      const [r, g, b] = new Uint8Array(COLOURS.buffer, 4 * Math.round(255 - y / tall * 254), 3);
      pen.fillStyle = `rgb(${r},${g},${b})`;
      pen.fillRect(wide + 6, y, 12, 1.5);
    }
    pen.fillStyle = ink;
    pen.fillText(short(this.limits[1]), wide + 22, 10);
    pen.fillText(short(this.limits[0]), wide + 22, tall - 2);
  }

  text(pen, width, text, ink) {
    pen.fillStyle = ink;
    text.split("\n").slice(0, 14).forEach(
      (line, index) => pen.fillText(line, 8, 18 + 16 * index, width - 16));
  }
}

// Scale what is seen around a place in it, and shift it; it never leaves the whole.
function shifted(from, to, at, by, factor) {
  const size = Math.min(1, Math.max(0.005, (to - from) * factor));
  const point = from + (to - from) * at;
  const start = Math.min(1 - size, Math.max(0, point - size * (at + by)));
  return [start, start + size];
}

// Mouse and fingers: drag to pan, wheel or two fingers to zoom, double click or tap for all of it.
function watch(canvas, panel) {
  const fingers = new Map();
  const at = (event) => [event.offsetX / canvas.clientWidth, event.offsetY / canvas.clientHeight];
  const apart = () => {
    const [one, two] = [...fingers.values()];
    return two ? Math.hypot(one[0] - two[0], one[1] - two[1]) : 0;
  };
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    panel.move(...at(event), 0, 0, event.deltaY > 0 ? 1.25 : 0.8);
  }, { passive: false });
  canvas.addEventListener("dblclick", () => panel.reset());
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, at(event));
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, (event) => fingers.delete(event.pointerId));
  }
  canvas.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId), now = at(event);
    if (!before) return;
    const wide = apart();
    fingers.set(event.pointerId, now);
    if (wide) panel.move(...now, 0, 0, Math.min(2, Math.max(0.5, wide / Math.max(apart(), 0.01))));
    else panel.move(...before, now[0] - before[0], now[1] - before[1], 1);
  });
}

// All panels of what one socket sends.
class Panels {
  constructor(element) {
    this.element = element;
    this.panels = new Map();
    this.paused = false;
    this.shown = 0;
    window.addEventListener("resize", () => this.panels.forEach((panel) => panel.draw()));
  }

  // Draw a message when the screen is next drawn; then ask for more, and leave as much time to others.
  take(buffer, next) {
    requestAnimationFrame(() => {
      const begin = performance.now();
      if (!this.paused) this.show(unpack(buffer));
      setTimeout(next, performance.now() - begin);
    });
  }

  show(header) {
    const x = header.tags.find((entry) => entry.axis);
    for (const entry of header.tags) {
      if (entry.axis) continue;
      if (!this.panels.has(entry.tag)) {
        const panel = new Panel(entry.tag);
        this.panels.set(entry.tag, panel);
        this.element.append(panel.element);
      }
      this.panels.get(entry.tag).take(entry, x);
    }
    this.shown += 1;
    this.element.dataset.seq = header.seq;
  }

  clear() {
    this.panels.clear();
    this.element.replaceChildren();
  }
}

// A socket that comes back by itself when the program at its other end does. `take` is given each
// message, and what asks for the next one.
function listen(path, take, tell) {
  let socket = null, closed = false;
  const open = () => {
    socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`);
    const mine = socket;
    const next = () => { if (mine.readyState === WebSocket.OPEN) mine.send("next"); };
    socket.binaryType = "arraybuffer";
    socket.onopen = () => tell("live");
    socket.onmessage = (event) => take(event.data, next);
    socket.onclose = () => {
      if (closed) return;
      tell("no connection, trying again");
      setTimeout(open, 1000);
    };
  };
  open();
  return () => { closed = true; socket.close(); };
}
