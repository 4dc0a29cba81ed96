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
    if (entry.kind === "image" || entry.kind === "colours") {
      const size = entry.shape[0] * entry.shape[1] * (entry.kind === "colours" ? 3 : 1);
      entry.values = new Uint8Array(buffer, at, size);
    }
  }
  return header;
}

function short(number) {
  if (number === null || !Number.isFinite(number)) return "not a number";
  const size = Math.abs(number);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return number.toExponential(2);
  return String(Number(number.toPrecision(5)));
}

function extent(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low > high ? [0, 1] : low === high ? [low - 0.5, high + 0.5] : [low, high];
}

class Panel {
  constructor(tag) {
    this.element = document.createElement("figure");
    this.element.className = "panel";
    this.element.dataset.tag = tag;
    this.title = document.createElement("figcaption");
    this.canvas = document.createElement("canvas");
    this.element.append(this.title, this.canvas);
    this.tag = tag;
    this.history = [];
    this.zoom = null;
    this.canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.canvas.addEventListener("dblclick", () => { this.zoom = null; this.draw(); });
  }

  take(entry) {
    this.entry = entry;
    if (entry.kind === "number") {
      this.history.push(entry.value === null ? NaN : entry.value);
      if (this.history.length > HISTORY) this.history.shift();
    }
    this.draw();
  }

  // The part of a line that is shown, as two numbers from 0 to 1.
  wheel(event) {
    event.preventDefault();
    const [left, right] = this.zoom || [0, 1];
    const at = left + (right - left) * event.offsetX / this.canvas.clientWidth;
    const factor = event.deltaY > 0 ? 1.25 : 0.8;
    const zoomed = [Math.max(0, at - (at - left) * factor), Math.min(1, at + (right - at) * factor)];
    this.zoom = zoomed[1] - zoomed[0] >= 1 ? null : zoomed;
    this.draw();
  }

  draw() {
    const entry = this.entry;
    if (!entry) return;
    const units = entry.units ? ` [${entry.units}]` : "";
    const value = entry.kind === "number" ? ` = ${short(entry.value)}` : "";
    const shape = entry.full ? `  ${[].concat(entry.full).join(" x ")}` : "";
    this.title.textContent = `${this.tag}${value}${units}${shape}`;
    this.element.dataset.kind = entry.kind;
    this.element.classList.toggle("alarm", Boolean(entry.severity));
    const { canvas } = this, scale = window.devicePixelRatio || 1;
    const width = canvas.clientWidth || 400, height = canvas.clientHeight || 240;
    canvas.width = width * scale;
    canvas.height = height * scale;
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    pen.font = FONT;
    const ink = getComputedStyle(this.element).color;
    if (entry.kind === "number") this.line(pen, width, height, this.history, ink, "iterations");
    else if (entry.kind === "line") this.line(pen, width, height, entry.values, ink, "", entry.full);
    else if (entry.kind === "text") this.text(pen, width, entry.text, ink);
    else this.image(pen, width, height, entry, ink);
  }

  line(pen, width, height, all, ink, label, full) {
    const [from, to] = (this.zoom || [0, 1]).map((part) => Math.round(part * all.length));
    const values = all.slice(from, Math.max(to, from + 2));
    const [low, high] = extent(values);
    const left = 64, bottom = height - 20, top = 8, right = width - 8;
    pen.fillStyle = ink;
    pen.strokeStyle = ink;
    pen.globalAlpha = 0.25;
    pen.strokeRect(left, top, right - left, bottom - top);
    pen.globalAlpha = 1;
    pen.textAlign = "right";
    pen.fillText(short(high), left - 4, top + 10);
    pen.fillText(short(low), left - 4, bottom);
    const per = (full || all.length) / all.length;
    pen.fillText(`${Math.round((from + values.length) * per) - 1} ${label}`, right, height - 5);
    pen.textAlign = "left";
    pen.fillText(String(Math.round(from * per)), left, height - 5);
    pen.beginPath();
    pen.strokeStyle = "#2c718e";
    pen.lineWidth = 1.5;
    const step = (right - left) / Math.max(1, values.length - 1);
    let drawn = false;
    values.forEach((value, index) => {
      if (Number.isNaN(value)) { drawn = false; return; }
      const x = left + index * step, y = bottom - (value - low) / (high - low) * (bottom - top);
      if (drawn) pen.lineTo(x, y); else pen.moveTo(x, y);
      drawn = true;
    });
    pen.stroke();
  }

  image(pen, width, height, entry, ink) {
    const [rows, columns] = entry.shape;
    const picture = new ImageData(columns, rows), pixels = new Uint32Array(picture.data.buffer);
    if (entry.kind === "image") {
      for (let i = 0; i < pixels.length; i++) pixels[i] = COLOURS[entry.values[i]];
    } else {
      for (let i = 0; i < pixels.length; i++) {
        const [r, g, b] = entry.values.subarray(3 * i, 3 * i + 3);
        pixels[i] = (255 << 24) | (b << 16) | (g << 8) | r;
      }
    }
    const sheet = new OffscreenCanvas(columns, rows);
    sheet.getContext("2d").putImageData(picture, 0, 0);
    const bar = entry.kind === "image" ? 76 : 0;
    const part = Math.min((width - bar) / entry.full[1], height / entry.full[0]);
    const wide = entry.full[1] * part, tall = entry.full[0] * part;
    pen.imageSmoothingEnabled = false;
    pen.drawImage(sheet, 0, 0, wide, tall);
    if (!bar) return;
    for (let y = 0; y < tall; y++) {
      const [r, g, b] = new Uint8Array(COLOURS.buffer, 4 * Math.round(255 - y / tall * 254), 3);
      pen.fillStyle = `rgb(${r},${g},${b})`;
      pen.fillRect(wide + 6, y, 12, 1.5);
    }
    pen.fillStyle = ink;
    pen.fillText(short(entry.high), wide + 22, 10);
    pen.fillText(short(entry.low), wide + 22, tall - 2);
  }

  text(pen, width, text, ink) {
    pen.fillStyle = ink;
    text.split("\n").slice(0, 14).forEach(
      (line, index) => pen.fillText(line, 8, 18 + 16 * index, width - 16));
  }
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

  take(buffer) {
    if (this.paused) return;
    this.newest = buffer;  // only the newest is drawn, as often as the screen is
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.show(unpack(this.newest)); });
  }

  show(header) {
    for (const entry of header.tags) {
      if (!this.panels.has(entry.tag)) {
        const panel = new Panel(entry.tag);
        this.panels.set(entry.tag, panel);
        this.element.append(panel.element);
      }
      this.panels.get(entry.tag).take(entry);
    }
    this.shown += 1;
    this.element.dataset.seq = header.seq;
  }

  clear() {
    this.panels.clear();
    this.element.replaceChildren();
  }
}

// A socket that comes back by itself when the program at its other end does.
function listen(path, take, tell) {
  let socket = null, closed = false;
  const open = () => {
    socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => tell("live");
    socket.onmessage = (event) => { take(event.data); socket.send("next"); };
    socket.onclose = () => {
      if (closed) return;
      tell("no connection, trying again");
      setTimeout(open, 1000);
    };
  };
  open();
  return () => { closed = true; socket.close(); };
}
