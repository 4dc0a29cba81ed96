// The page of --to-plot web=.
"use strict";
const panels = new Panels(document.getElementById("panels"));
fetch("/look").then((answer) => answer.json()).then(({ columns }) => {
  if (columns) panels.element.style.setProperty("--columns", columns);
});
listen("/live", (buffer, next) => panels.take(buffer, next),
  (text) => { document.getElementById("state").textContent = text; });
document.getElementById("pause").onclick = (event) => {
  panels.paused = !panels.paused;
  event.target.textContent = panels.paused ? "go on" : "pause";
};
document.getElementById("save").onclick = () => panels.panels.forEach((panel) => {
  const link = document.createElement("a");
  link.download = `${panel.tag}.png`;
  link.href = panel.canvas.toDataURL();
  link.click();
});
