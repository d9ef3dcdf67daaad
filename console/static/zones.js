// Zones on a picture: the policy's are shown, a new one is drawn by pointer or keyboard and becomes YAML.
"use strict";

(() => {
  const page = document.querySelector("[data-zones]");
  if (!page) return;
  const area = document.querySelector("textarea[data-policy-editor]");
  const canvas = page.querySelector("svg");
  const SVG = canvas.namespaceURI;
  const image = page.querySelector("img");
  const figure = page.querySelector("figure");
  const status = page.querySelector(".zone-said");
  const [undo, add] = ["undo", "add"].map((name) => page.querySelector(`[data-do=${name}]`));
  const known = canvas.querySelector("[data-known]");
  const drawn = canvas.querySelector("[data-drawn]");
  const marks = canvas.querySelector("[data-corners]");
  const cross = canvas.querySelector("[data-cursor]");
  const TRIED = 8;
  let shape = "rectangle";
  let corners = [];
  let cursor = [0.5, 0.5];
  let dragging = false;
  let untried = [];
  let zones = [];
  let scale = {};
  let picture = { width: 0, height: 0, station: "" };

  const clamp = (value) => Math.min(1, Math.max(0, value));
  const round = (value) => Math.round(value * 1000) / 1000;
  const points = (list) => list.map(([x, y]) => `${x * 1000},${y * 1000}`).join(" ");
  const box = ([[x0, y0], [x1, y1]]) => [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
  const ring = () => (shape === "rectangle" && corners.length === 2 ? box(corners) : corners);
  const enough = () => corners.length >= (shape === "rectangle" ? 2 : 3);

  function fractions(zone) {
    if (zone.unit === "fraction") return zone.polygon;
    const perPixel = zone.unit === "mm" ? (scale[picture.station] ?? scale.default) : 1;
    if (!perPixel || !picture.width) return null;
    return zone.polygon.map(([x, y]) => [x / perPixel / picture.width, y / perPixel / picture.height]);
  }

  function show() {
    known.replaceChildren();
    for (const zone of zones) {
      const list = fractions(zone);
      if (!list || (zone.stations.length && picture.station && !zone.stations.includes(picture.station))) continue;
      const polygon = document.createElementNS(SVG, "polygon");
      polygon.setAttribute("points", points(list));
      const title = document.createElementNS(SVG, "title");
      title.textContent = zone.name;
      polygon.append(title);
      known.append(polygon);
    }
    names();
    drawn.setAttribute("points", points(ring()));
    marks.replaceChildren(
      ...corners.map(([x, y]) => {
        const mark = document.createElementNS(SVG, "path");
        mark.setAttribute("d", `M${x * 1000} ${y * 1000}h0`);
        return mark;
      }),
    );
    const [x, y] = cursor.map((value) => value * 1000);
    cross.setAttribute("d", `M${x} ${y - 40}V${y + 40}M${x - 40} ${y}H${x + 40}`);
    undo.disabled = !corners.length;
    add.disabled = !enough();
  }

  // Names stand beside the picture as text: within it they would be as distorted as its sides are.
  function names() {
    let list = figure.querySelector("ul");
    if (!list) {
      list = document.createElement("ul");
      list.className = "zone-names";
      figure.append(list);
    }
    list.replaceChildren(
      ...zones.map((zone) => {
        const item = document.createElement("li");
        item.textContent = zone.name;
        return item;
      }),
    );
    list.hidden = !zones.length;
  }

  function put(corner) {
    if (shape === "rectangle" && corners.length === 2) corners = [];
    corners = [...corners, corner];
    say(status.dataset.saidCorner.replace("{number}", corners.length), corner);
    show();
  }

  function say(words, [x, y]) {
    const place = status.dataset.saidAt.replace("{x}", Math.round(x * 100)).replace("{y}", Math.round(y * 100));
    status.textContent = `${words} ${place}`.trim();
  }

  const at = (event) => {
    const bounds = canvas.getBoundingClientRect();
    return [clamp((event.clientX - bounds.left) / bounds.width), clamp((event.clientY - bounds.top) / bounds.height)];
  };

  canvas.addEventListener("pointerdown", (event) => {
    if (image.hidden || event.button) return;
    cursor = at(event);
    if (shape === "rectangle") {
      corners = [];
      dragging = true;
      canvas.setPointerCapture(event.pointerId);
    }
    put(cursor);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!dragging) return;
    cursor = at(event);
    corners = [corners[0], cursor];
    show();
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!dragging) return;
    dragging = false;
    cursor = at(event);
    const [first] = corners;
    const isClick = Math.abs(first[0] - cursor[0]) < 0.01 && Math.abs(first[1] - cursor[1]) < 0.01;
    corners = isClick ? [first] : [first, cursor];
    show();
  });
  canvas.addEventListener("keydown", (event) => {
    if (image.hidden || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? 0.1 : 0.01;
    const move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
    if (move) {
      cursor = [clamp(cursor[0] + move[0]), clamp(cursor[1] + move[1])];
      say("", cursor);
      show();
    } else if (event.key === "Enter" || event.key === " ") {
      put(cursor);
    } else if (event.key === "Backspace") {
      corners = corners.slice(0, -1);
      show();
    } else if (event.key === "Escape") {
      corners = [];
      show();
    } else return;
    event.preventDefault();
  });

  for (const button of page.querySelectorAll("[data-shape]")) {
    button.addEventListener("click", () => {
      shape = button.dataset.shape;
      corners = [];
      for (const other of page.querySelectorAll("[data-shape]")) other.setAttribute("aria-pressed", String(other === button));
      show();
    });
  }
  undo.addEventListener("click", () => {
    corners = corners.slice(0, -1);
    show();
  });
  add.addEventListener("click", () => {
    const taken = new Set(zones.map((zone) => zone.name));
    let number = zones.length + 1;
    while (taken.has(`zone_${number}`)) number += 1;
    const list = ring().map(([x, y]) => `[${round(x)}, ${round(y)}]`).join(", ");
    area.policyEditor.addToList("zones", `name: zone_${number}\npolygon: [${list}]`);
    corners = [];
    show();
  });

  function choose(button) {
    picture = { width: Number(button.dataset.width), height: Number(button.dataset.height), station: button.dataset.station };
    image.src = `/pictures/${button.dataset.zonePicture}/large`;
    for (const path of canvas.querySelectorAll(".outline")) {
      path.setAttribute("d", button.dataset.outline);
      if (picture.width) path.setAttribute("transform", `scale(${1000 / picture.width} ${1000 / picture.height})`);
    }
    show();
  }
  image.addEventListener("load", () => {
    image.hidden = false;
    // As wide as it can be while all of it is seen at once.
    image.parentElement.style.maxWidth = `calc(75vh * ${image.naturalWidth / image.naturalHeight})`;
    figure.classList.add("with");
  });
  // Of a part that nobody chose another one will do, where no picture is kept.
  image.addEventListener("error", () => {
    image.hidden = true;
    figure.classList.remove("with");
    const next = untried.shift();
    if (next?.isConnected) choose(next);
  });
  document.addEventListener("click", (event) => {
    const button = event.target instanceof Element && event.target.closest("[data-zone-picture]");
    if (!button) return;
    untried = [];
    choose(button);
    page.scrollIntoView({ block: "nearest" });
  });
  document.addEventListener("policy:filled", () => {
    if (!image.hidden || image.src) return;
    untried = [...document.querySelectorAll("[data-zone-picture]")].slice(0, TRIED);
    const first = untried.shift();
    if (first) choose(first);
  });
  document.addEventListener("policy:report", ({ detail: report }) => {
    if (!report?.ok) return;
    zones = report.zones;
    scale = report.mm_per_px;
    show();
  });
  show();
})();
