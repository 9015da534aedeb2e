// SPDX-License-Identifier: MIT OR Apache-2.0
// Draws a report from its data: text, tables, curves, histograms, tracks from above, playable strips.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const page = document.getElementById("page");
const colour = (i) => `var(--c${i % 4})`;
const resolved = (i) => getComputedStyle(document.documentElement).getPropertyValue(`--c${i % 4}`).trim();

// An element with attributes and children; texts are never read as HTML.
function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "path", "circle", "rect", "line", "text", "g"].includes(tag);
  const e = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
  e.append(...children);
  return e;
}

function section(id, heading, ...children) {
  page.append(make("section", { id }, make("h2", {}, heading), ...children));
  document.getElementById("contents").append(make("a", { href: "#" + id }, heading));
}

function legend(names) {
  return make("p", { class: "legend" }, ...names.map((name, i) =>
    make("span", {}, make("i", { style: `background:${colour(i)}` }), name)));
}

function table(columns, rows, kind) {
  const head = make("tr", {}, ...columns.map((c) => make("th", {}, c)));
  const body = rows.map((row) => make("tr", {}, ...row.map((cell) => make("td", {}, String(cell)))));
  return make("div", { class: "scroll" }, make("table", { class: kind }, make("thead", {}, head), make("tbody", {}, ...body)));
}

function drawResults(r) {
  section("results", "Result", table(r.columns, r.rows, "results"), make("p", { class: "note" }, r.note || ""));
}

function drawStory(story) {
  section("story", "What was done", ...story.flatMap((s) => [make("h3", {}, s.heading), make("p", {}, s.text)]));
}

function drawPictures(list) {
  section("pictures", "What the demonstrations look like", make("div", { class: "grid" }, ...list.map((p) =>
    make("div", { class: "panel" }, make("h3", {}, p.caption),
      make("div", { class: "frames" }, ...p.images.map((src) => make("img", { src, alt: p.caption, loading: "lazy" })))))));
}

// Rows [x, y1, y2, …] over all series; a series without a point at x has null there.
function joined(series) {
  const rows = new Map();
  series.forEach((s, i) => s.points.forEach(([x, y]) => {
    if (!rows.has(x)) rows.set(x, new Array(series.length).fill(null));
    rows.get(x)[i] = y;
  }));
  return [...rows.entries()].sort((a, b) => a[0] - b[0]).map(([x, ys]) => [x, ...ys]);
}

function drawCurves(list) {
  const charts = list.map((c) => {
    const box = make("div", { class: "chart" });
    return { c, box, panel: make("div", { class: "panel" }, make("h3", {}, c.title), box, legend(c.series.map((s) => s.name))) };
  });
  section("curves", "Curves", make("div", { class: "grid" }, ...charts.map((x) => x.panel)));
  const grid = getComputedStyle(document.documentElement).getPropertyValue("--line").trim();
  for (const { c, box } of charts) {
    new Dygraph(box, joined(c.series), {
      labels: [c.x, ...c.series.map((s) => s.name)], colors: c.series.map((_, i) => resolved(i)), logscale: Boolean(c.log),
      connectSeparatedPoints: true, xlabel: c.x, ylabel: c.y, legend: "follow", strokeWidth: 1.8, gridLineColor: grid,
      axisLineColor: grid, xLabelHeight: 16, yLabelWidth: 16, axes: { y: { axisLabelWidth: 52 } },
    });
  }
}

function histogram(h) {
  const W = 480, H = 220, left = 8, bottom = 22, top = 6;
  const total = h.series.map((s) => s.counts.reduce((a, b) => a + b, 0) || 1);
  const high = Math.max(1e-9, ...h.series.flatMap((s, i) => s.counts.map((c) => c / total[i])));
  const x = (v) => left + (v - h.edges[0]) / (h.edges[h.edges.length - 1] - h.edges[0]) * (W - 2 * left);
  const y = (v) => H - bottom - v / high * (H - bottom - top);
  const svg = make("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": h.title });
  h.series.forEach((s, i) => {
    let path = `M${x(h.edges[0])},${y(0)}`;
    s.counts.forEach((c, k) => { path += `V${y(c / total[i])}H${x(h.edges[k + 1])}`; });
    svg.append(make("path", { d: path + `V${y(0)}Z`, fill: colour(i), "fill-opacity": .18, stroke: colour(i), "stroke-width": 1.5 }));
  });
  svg.append(make("line", { x1: left, x2: W - left, y1: y(0), y2: y(0), stroke: "var(--line)" }));
  for (let k = 0; k <= 4; k++) {
    const v = h.edges[0] + k / 4 * (h.edges[h.edges.length - 1] - h.edges[0]);
    svg.append(make("text", { x: x(v), y: H - 6, "text-anchor": k === 0 ? "start" : k === 4 ? "end" : "middle" }, v.toFixed(2)));
  }
  return make("div", { class: "panel" }, make("h3", {}, h.title), svg, legend(h.series.map((s) => s.name)));
}

const line = (points, close) => "M" + points.map((p) => p[0].toFixed(2) + "," + p[1].toFixed(2)).join("L") + (close ? "Z" : "");

function track(t) {
  const all = t.left.concat(t.right), xs = all.map((p) => p[0]), ys = all.map((p) => p[1]);
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const size = Math.max(x1 - x0, y1 - y0), pad = size * .04;
  const flip = (points) => points.map(([x, y]) => [x, y0 + y1 - y]); // north is up
  const svg = make("svg", { viewBox: `${x0 - pad} ${y0 - pad} ${x1 - x0 + 2 * pad} ${y1 - y0 + 2 * pad}`, role: "img", "aria-label": t.title });
  svg.append(make("path", { d: line(flip(t.left), true) + line(flip(t.right), true), fill: "var(--road)", "fill-rule": "evenodd" }));
  t.paths.forEach((p, i) => {
    svg.append(make("path", { d: line(flip(p.points)), fill: "none", stroke: colour(i), "stroke-width": size * .006, "stroke-linejoin": "round" }));
  });
  t.paths.forEach((p, i) => flip(p.interventions || []).forEach(([x, y]) => {
    svg.append(make("circle", { cx: x, cy: y, r: size * .014, fill: "none", stroke: colour(i), "stroke-width": size * .006 }));
    svg.append(make("circle", { cx: x, cy: y, r: size * .006, fill: colour(i) }));
  }));
  return make("div", { class: "panel" }, make("h3", {}, t.title), svg,
    legend(t.paths.map((p) => `${p.name}: ${(p.interventions || []).length} interventions`)));
}

function strip(s) {
  const image = make("img", { alt: s.title, src: s.frames[0] || "" });
  const slider = make("input", { type: "range", min: 0, max: s.frames.length - 1, value: 0, "aria-label": "frame" });
  const button = make("button", { type: "button" }, "Play");
  const label = make("p", { class: "label" });
  let timer = 0;
  const show = (i) => {
    slider.value = i;
    image.src = s.frames[i];
    label.textContent = s.labels && s.labels[i] ? s.labels[i] : "";
  };
  const stop = () => { clearInterval(timer); timer = 0; button.textContent = "Play"; };
  button.addEventListener("click", () => {
    if (timer) return stop();
    button.textContent = "Pause";
    timer = setInterval(() => show((Number(slider.value) + 1) % s.frames.length), 1000 / s.rate_hz);
  });
  slider.addEventListener("input", () => show(Number(slider.value)));
  show(0);
  return make("div", { class: "panel strip" }, make("h3", {}, s.title), image,
    make("div", { class: "controls" }, button, slider), label);
}

function drawSettings(list) {
  section("settings", "Settings", ...list.map((s) => make("details", {}, make("summary", {}, s.heading),
    table(["key", "value", "meaning"], s.rows, "settings"))));
}

function drawHowto(list) {
  section("howto", "The same with your own data", ...list.flatMap((h) =>
    [make("h3", {}, h.heading), make("p", {}, h.text), h.code ? make("pre", {}, h.code) : ""]));
}

const grid = (children) => make("div", { class: "grid" }, ...children);
document.title = data.title || "Mynah report";
document.getElementById("title").textContent = data.title || "Mynah report";
document.getElementById("subtitle").textContent = data.subtitle || "";
document.getElementById("created").textContent = data.created || "";
if (data.results) drawResults(data.results);
if (data.story) drawStory(data.story);
if (data.tracks) section("tracks", "Tracks from above", grid(data.tracks.map(track)));
if (data.strips) section("strips", "What the camera saw", grid(data.strips.map(strip)));
if (data.pictures) drawPictures(data.pictures);
if (data.curves) drawCurves(data.curves);
if (data.histograms) section("actions", data.histograms_heading || "Actions", grid(data.histograms.map(histogram)));
if (data.settings) drawSettings(data.settings);
if (data.howto) drawHowto(data.howto);
