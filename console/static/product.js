// The page of a new product: sends pictures one by one, and draws outlines by pointer or keyboard.
"use strict";

(() => {
  const page = document.getElementById("product");
  if (!page) return;
  const key = encodeURIComponent(page.dataset.key);

  // Each picture is a request of its own: a bad one is named, and the others are taken.
  async function send(input) {
    const kind = input.dataset.upload;
    const bar = page.querySelector(`[data-sending="${kind}"]`);
    const refused = page.querySelector(`[data-refused="${kind}"]`);
    const files = [...input.files];
    if (!files.length) return;
    input.disabled = true;
    bar.hidden = false;
    refused.replaceChildren();
    for (const [index, file] of files.entries()) {
      const progress = bar.querySelector("progress");
      progress.max = files.length;
      progress.value = index;
      bar.querySelector("span").textContent = bar.dataset.words
        .replace("{done}", String(index + 1))
        .replace("{total}", String(files.length));
      const words = await sendOne(kind, file);
      if (!words) continue;
      const line = document.createElement("li");
      line.textContent = words;
      refused.append(line);
      refused.hidden = false;
    }
    input.disabled = false;
    bar.hidden = true;
    if (refused.hidden) {
      location.hash = kind === "normals" ? "#pictures" : "#defects";
      location.reload();
    }
  }

  async function sendOne(kind, file) {
    const place = `/api/products/drafts/${key}/${kind}?name=${encodeURIComponent(file.name)}`;
    try {
      const answer = await fetch(place, { method: "POST", body: file });
      if (answer.ok) return "";
      const said = await answer.json().catch(() => ({}));
      return typeof said.detail === "string" ? said.detail : `${file.name}: ${answer.status}`;
    } catch (error) {
      return `${file.name}: ${error}`;
    }
  }

  for (const input of page.querySelectorAll("[data-upload]")) {
    input.addEventListener("change", () => send(input));
  }

  const STEP = 0.01;

  function drawOn(box) {
    const form = box.closest("li").querySelector("form");
    const field = form.elements.outline;
    const words = form.querySelector("[data-corners]");
    const polygons = box.querySelectorAll("polygon");
    const cursor = document.createElement("span");
    cursor.className = "cursor";
    cursor.hidden = true;
    box.append(cursor);
    let corners = field.value ? JSON.parse(field.value) : [];
    let at = [0.5, 0.5];
    let dragging = false;

    function show(changed) {
      for (const polygon of polygons) {
        polygon.setAttribute("points", corners.map((corner) => corner.join(",")).join(" "));
      }
      if (!changed) return;
      field.value = corners.length > 2 ? JSON.stringify(corners) : "";
      words.textContent = corners.length > 2 ? words.dataset.some : words.dataset.none;
    }

    const inside = (value) => Math.min(1, Math.max(0, Math.round(value * 1e5) / 1e5));
    function place(event) {
      const frame = box.querySelector("img").getBoundingClientRect();
      return [
        inside((event.clientX - frame.left) / frame.width),
        inside((event.clientY - frame.top) / frame.height),
      ];
    }
    const far = ([x, y]) => {
      const last = corners.at(-1);
      return !last || Math.hypot(x - last[0], y - last[1]) > 0.008;
    };

    box.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      event.preventDefault();
      box.focus({ preventScroll: true });
      box.setPointerCapture(event.pointerId);
      dragging = true;
      corners = [place(event)];
      cursor.hidden = true;
      show(true);
    });
    box.addEventListener("pointermove", (event) => {
      if (!dragging || corners.length >= 500) return;
      const next = place(event);
      if (far(next)) corners.push(next);
      show(true);
    });
    const end = () => {
      dragging = false;
      if (corners.length < 3) corners = [];
      show(true);
    };
    box.addEventListener("pointerup", end);
    box.addEventListener("pointercancel", end);

    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    box.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? STEP * 5 : STEP;
      if (moves[event.key]) {
        const [x, y] = moves[event.key];
        at = [inside(at[0] + x * step), inside(at[1] + y * step)];
      } else if (event.key === "Enter" || event.key === " ") {
        corners.push([...at]);
      } else if (event.key === "Backspace") {
        corners.pop();
      } else if (event.key === "Delete") {
        corners = [];
      } else {
        return;
      }
      event.preventDefault();
      cursor.hidden = false;
      cursor.style.left = `${at[0] * 100}%`;
      cursor.style.top = `${at[1] * 100}%`;
      show(true);
    });
    form.querySelector("[data-clear]").addEventListener("click", () => {
      corners = [];
      show(true);
    });
    show(false);
  }

  for (const box of page.querySelectorAll("[data-outline]")) drawOn(box);
})();
