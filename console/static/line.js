// The line's page: takes pieces of the console and puts them where they belong; ages count by themselves.
"use strict";

(() => {
  const page = document.getElementById("line");
  if (!page) return;
  let ages = {};
  let agesAt = Date.now();

  const named = (list, key, value) => [...list].find((one) => one.dataset[key] === value);

  function putPiece(piece) {
    const place = named(page.querySelectorAll("[data-piece]"), "piece", piece.id);
    if (!place) return false;
    const before = new Map();
    for (const cell of place.querySelectorAll("[data-signal]")) {
      const of = cell.closest("[data-key]").dataset.key;
      before.set(of + cell.dataset.signal, cell.textContent);
    }
    const closed = new Set();
    for (const one of place.querySelectorAll("details:not([open])")) closed.add(one.closest("[data-key]").dataset.key);
    const focused = document.activeElement;
    const held = place.contains(focused) ? focused.tagName : "";
    const scrolled = place.querySelector(".scroll")?.scrollLeft || 0;
    place.replaceChildren(parsedPiece(piece.html));
    for (const cell of place.querySelectorAll("[data-signal]")) {
      const was = before.get(cell.closest("[data-key]").dataset.key + cell.dataset.signal);
      if (was !== undefined && was !== cell.textContent) cell.classList.add("moved");
    }
    for (const one of place.querySelectorAll("details")) if (closed.has(one.closest("[data-key]").dataset.key)) one.open = false;
    if (scrolled) place.querySelector(".scroll").scrollLeft = scrolled;
    if (held) place.querySelector(held.toLowerCase() === "div" ? ".scroll" : held)?.focus({ preventScroll: true });
    return true;
  }

  function putRow(part) {
    const line = named(page.querySelectorAll("[data-of]"), "of", part.line);
    if (!line) return false;
    const rows = line.querySelector("[data-triggers]");
    const row = parsedPiece(part.html).querySelector("tr");
    const known = document.getElementById(row.id);
    if (known) {
      const holds = known.contains(document.activeElement);
      known.replaceWith(row);
      if (holds) row.querySelector("a").focus({ preventScroll: true });
    } else {
      const order = Number(row.dataset.order);
      rows.insertBefore(row, [...rows.children].find((other) => Number(other.dataset.order) <= order) || null);
      while (rows.children.length > Number(page.dataset.rows)) rows.lastElementChild.remove();
    }
    line.querySelector("[data-empty]").hidden = true;
    return true;
  }

  function take(message) {
    const put = [...message.pieces.map(putPiece), ...message.rows.map(putRow)];
    if (put.includes(false)) return location.reload();
    ages = message.ages;
    agesAt = Date.now();
  }

  function words(seconds) {
    if (seconds < 90) return `${Math.round(seconds)} s`;
    return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
  }

  function count() {
    for (const place of page.querySelectorAll("[data-age]")) {
      const age = ages[place.dataset.age];
      if (age === undefined) continue;
      const text = page.dataset.ago.replace("{age}", words(age + (Date.now() - agesAt) / 1000));
      if (place.textContent !== text) place.textContent = text;
    }
  }

  const line = encodeURIComponent(page.dataset.line);
  followConsole(page, (since) => `/line-events?since=${since}&line=${line}`, take, count);
})();
