"use strict";
// The page is whole without this but for the map and its table: what is in what.
const reports = JSON.parse(document.getElementById("data").textContent);
const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

// size writes bytes as relpack does elsewhere.
function size(bytes) {
  if (bytes < 10) return bytes + " B";
  const e = Math.min(Math.floor(Math.log(bytes) / Math.log(1024)), units.length - 1);
  const value = bytes / 1024 ** e, tenths = Math.floor(value * 10 + 0.5) / 10;
  return (tenths < 10 ? tenths.toFixed(1) : Math.floor(value + 0.5)) + " " + units[e];
}
const count = (n) => n.toLocaleString("en-US");
const total = (line) => line.bytes + (line.history_bytes || 0) + line.blob_bytes;
const called = (line) => line.name || "(zoid " + line.zoid + ")"; // by a name of its own, if it has one

// parts are what a line is made of: its content, the rest that is not listed, itself.
function parts(line) {
  const all = (line.content || []).map((below) => ({ line: below, label: called(below), sum: below }));
  if (line.parts) all.push({ label: count(line.parts.count) + " parts of the BTree", sum: line.parts });
  if (line.others && line.others.count) all.push({ label: count(line.others.count) + " more", sum: line.others });
  if (all.length && line.own_bytes) all.push({ label: "itself", sum: { bytes: line.own_bytes, history_bytes: line.own_history_bytes, blob_bytes: 0, objects: 1 } });
  return all.sort((a, b) => total(b.sum) - total(a.sum));
}

// squarify places areas in a rectangle, the largest first, each as square as can be
// (Bruls, Huizing, van Wijk: "Squarified Treemaps", 2000).
function squarify(values, x, y, width, height) {
  const places = [];
  let rest = values.reduce((sum, v) => sum + v, 0);
  const worst = (row, sum, side, area) => {
    const scaled = sum * area, square = side * side;
    return Math.max(square * row[0] * area / (scaled * scaled), scaled * scaled / (square * row[row.length - 1] * area));
  };
  for (let i = 0; i < values.length;) {
    const side = Math.min(width, height), area = width * height / rest;
    let row = [values[i]], sum = values[i];
    while (i + row.length < values.length) {
      const next = values[i + row.length];
      if (worst(row.concat(next), sum + next, side, area) > worst(row, sum, side, area)) break;
      row.push(next);
      sum += next;
    }
    const thick = side > 0 ? sum * area / side : 0;
    let along = 0;
    for (const value of row) {
      const long = sum > 0 ? side * value / sum : 0;
      places.push(width >= height ? [x, y + along, thick, long] : [x + along, y, long, thick]);
      along += long;
    }
    if (width >= height) { x += thick; width -= thick; } else { y += thick; height -= thick; }
    rest -= sum;
    i += row.length;
  }
  return places;
}

// hue gives a class the same color everywhere.
function hue(text) {
  let hash = 0;
  for (const letter of text || "") hash = (hash * 31 + letter.codePointAt(0)) % 360;
  return hash;
}

function element(name, text, attributes) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const key in attributes || {}) made.setAttribute(key, attributes[key]);
  return made;
}

// The section that was touched last: keys are for it, wherever the focus is.
let active;

function space(section) {
  const { top, keeps_history: keeps } = reports[Number(section.dataset.storage)].space;
  const map = section.querySelector(".map"), way = section.querySelector(".way"), body = section.querySelector("tbody");
  let path = [top];

  function go(to, focus) {
    path = to;
    draw();
    if (focus) (map.querySelector("button:not([disabled])") || way.querySelector("[aria-current]")).focus();
  }

  // describe is what a pointer is told. Below the last level of the page nothing is known.
  function describe(part) {
    const line = part.line, words = [part.label, size(total(part.sum)), count(part.sum.objects) + (part.sum.objects === 1 ? " object" : " objects")];
    if (line) words.splice(1, 0, line.class || "class unknown");
    if (line && !parts(line).length && line.objects > 1) words.push("not on this page: relpack du " + line.zoid);
    return words.join(" · ");
  }

  // drawAreas fills a rectangle of pixels with what is in the last of a path, and
  // each area that has room with what is in there. What may be written on them, labels get.
  function drawAreas(to, x, y, width, height, level, labels) {
    const shown = parts(to[to.length - 1]).filter((part) => total(part.sum) > 0);
    squarify(shown.map((part) => total(part.sum)), x, y, width, height).forEach(([left, top, wide, high], i) => {
      const part = shown[i], line = part.line, inside = line && parts(line).length > 0;
      if (level > 0 && (wide < 12 || high < 12)) return;
      const button = element("button", undefined, { type: "button", title: describe(part) });
      const holds = inside && level < 2 && wide > 90 && high > 70;
      if (wide > 36) labels.push({ button, name: element("b", part.label), size: element("span", size(total(part.sum))), whole: !line, room: holds ? 26 : high });
      button.style.cssText = `left:${left}px;top:${top}px;width:${wide}px;height:${high}px;--hue:${hue(line && line.class)};--level:${level}`;
      if (inside) button.addEventListener("click", () => go(to.concat(line), true));
      else button.disabled = true;
      map.append(button);
      if (holds) drawAreas(to.concat(line), left + 4, top + 26, wide - 8, high - 30, level + 1, labels);
    });
    return shown.length;
  }

  // write puts names and sizes on areas, as far as there is room: a size that is cut would
  // be another, so would a count. All are measured before any is changed.
  function write(labels) {
    for (const { button, name, size } of labels) button.append(name, size);
    const fits = labels.map(({ button, name, size, whole, room }) => {
      const style = getComputedStyle(button), gap = parseFloat(style.columnGap), wide = button.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
      const lines = Math.floor((room - 2 - parseFloat(style.paddingTop)) / name.offsetHeight), named = name.scrollWidth < wide || (!whole && wide > 3 * name.offsetHeight);
      if (lines < 1 || !named) return { name: false };
      const both = name.scrollWidth + gap + size.scrollWidth < wide;
      if (!both && lines > 1) return { name: true, size: size.scrollWidth < wide };
      return { name: true, size: both || (!whole && wide - gap - size.scrollWidth > 10 * gap), line: true };
    });
    labels.forEach(({ button, name, size }, i) => {
      if (!fits[i].name) name.remove();
      if (!fits[i].size) size.remove();
      if (fits[i].line) button.classList.add("line");
    });
  }

  function drawMap() {
    const labels = [];
    map.replaceChildren();
    if (!drawAreas(path, 0, 0, map.clientWidth, map.clientHeight, 0, labels)) map.append(element("p", "Nothing is in it.", { class: "hint" }));
    write(labels);
  }

  function drawTable(all) {
    body.replaceChildren();
    for (const part of all) {
      const row = element("tr"), name = element("td");
      if (part.line && parts(part.line).length) {
        const button = element("button", part.label, { type: "button" });
        button.addEventListener("click", () => go(path.concat(part.line), true));
        name.append(button);
      } else name.textContent = part.label;
      row.append(name, element("td", part.line ? part.line.class || "class unknown" : ""));
      for (const value of [size(total(part.sum)), size(part.sum.bytes), ...(keeps ? [size(part.sum.history_bytes || 0)] : []), part.sum.blob_bytes === null ? "not known" : size(part.sum.blob_bytes), count(part.sum.objects)]) row.append(element("td", value));
      body.append(row);
    }
  }

  function draw() {
    const here = path[path.length - 1], all = parts(here);
    way.replaceChildren();
    path.forEach((line, i) => {
      const last = i === path.length - 1;
      const button = element("button", called(line), { type: "button", title: "zoid " + line.zoid + " " + line.class });
      if (last) button.setAttribute("aria-current", "location");
      button.addEventListener("click", () => go(path.slice(0, i + 1), true));
      way.append(button);
    });
    way.append(" " + size(total(here)) + ", " + count(here.objects) + (here.objects === 1 ? " object" : " objects"));
    section.querySelector(".here").textContent = path.map(called).join("");
    drawMap();
    drawTable(all);
  }

  for (const touch of ["pointerdown", "focusin"]) section.addEventListener(touch, () => { active = section; });
  document.addEventListener("keydown", (event) => {
    if ((event.key === "Escape" || event.key === "Backspace") && active === section && path.length > 1) {
      event.preventDefault();
      go(path.slice(0, -1), true);
    }
  });
  addEventListener("resize", drawMap);
  addEventListener("beforeprint", drawMap);
  draw();
}

document.querySelectorAll(".space").forEach(space);
