// The live page: takes messages of the console and puts their pieces where they belong.
// EventSource gives the last id back by itself, also to a console that was started again.
"use strict";

(() => {
  const page = document.getElementById("live");
  if (!page) return;
  const stale = document.getElementById("stale");
  const shown = Number(page.dataset.shown);
  const OLD_MS = 6000;
  let heard = Date.now();
  let fresh = page.dataset.fresh === "yes";

  const lineOf = (name) =>
    [...page.querySelectorAll("[data-line]")].find((line) => line.dataset.line === name);

  const parsed = (html) => {
    const made = document.createElement("template");
    made.innerHTML = html;
    return made.content;
  };

  const placed = (content) => {
    for (const element of content.children) htmx.process(element);
  };

  function putRow(line, part) {
    const rows = line.querySelector("[data-rows]");
    const row = parsed(part.html).querySelector("li");
    const known = document.getElementById(row.id);
    if (known) {
      const held = known.contains(document.activeElement);
      known.replaceWith(row);
      if (held) row.querySelector("a").focus();
    } else {
      const order = Number(row.dataset.order);
      const later = [...rows.children].find((other) => Number(other.dataset.order) <= order);
      rows.insertBefore(row, later || null);
      if (!later || later.previousElementSibling === row) row.classList.add("new");
      while (rows.children.length > shown) rows.lastElementChild.remove();
    }
    if (row.isConnected) htmx.process(row);
  }

  function putFocus(line, html) {
    const focus = line.querySelector("[data-focus]");
    const content = parsed(html);
    const next = content.querySelector("[data-part]");
    const now = focus.querySelector("[data-part]");
    const pinned = line.dataset.pinned;
    if (pinned && next.dataset.part !== pinned) return;
    if (now && now.dataset.part === next.dataset.part) {
      // The same part: the words change, the picture stays and does not flicker.
      now.querySelector(".told").replaceWith(next.querySelector(".told"));
    } else {
      focus.replaceChildren(content);
    }
    focus.querySelector(".pinned").hidden = !pinned;
  }

  function take(message) {
    for (const part of message.parts) {
      const line = lineOf(part.line);
      if (!line) return location.reload();
      putRow(line, part);
    }
    for (const told of message.lines) {
      const line = lineOf(told.line);
      if (!line) return location.reload();
      line.querySelector("[data-head]").innerHTML = told.head;
      putFocus(line, told.focus);
    }
    if (message.alerts !== undefined) {
      const alerts = document.getElementById("alerts");
      alerts.innerHTML = message.alerts;
    }
    fresh = message.fresh;
  }

  function judge() {
    const silent = Date.now() - heard > OLD_MS;
    const old = silent || !fresh;
    if (old) {
      const time = new Date(heard).toLocaleTimeString(document.documentElement.lang, {
        timeZone: page.dataset.zone,
      });
      const words = silent ? page.dataset.old : page.dataset.oldKafka;
      const text = `${words} (${page.dataset.heard.replace("{time}", time)})`;
      if (stale.textContent !== text) stale.textContent = text;
    }
    stale.hidden = !old;
    page.classList.toggle("old", old);
  }

  function connect(since) {
    const source = new EventSource(`/live/events?since=${encodeURIComponent(since)}`);
    let last = since;
    source.addEventListener("line", (event) => {
      heard = Date.now();
      last = event.lastEventId;
      take(JSON.parse(event.data));
      judge();
    });
    source.addEventListener("begin-again", () => {
      source.close();
      location.reload();
    });
    source.addEventListener("error", () => {
      // A browser gives up for good after an answer that is no stream (a proxy's 502): we do not.
      if (source.readyState !== EventSource.CLOSED) return;
      source.close();
      setTimeout(() => connect(last), 2000);
    });
  }

  page.addEventListener("htmx:afterRequest", (event) => {
    const button = event.target.closest("[data-pin]");
    if (!button || !event.detail.successful) return;
    const line = button.closest("[data-line]");
    const html = event.detail.xhr.responseText;
    line.dataset.pinned = parsed(html).querySelector("[data-part]").dataset.part;
    putFocus(line, html);
  });

  page.addEventListener("click", (event) => {
    if (!event.target.closest("[data-unpin]")) return;
    const line = event.target.closest("[data-line]");
    delete line.dataset.pinned;
    location.assign("/live");
  });

  connect(page.dataset.since);
  setInterval(judge, 1000);
})();
