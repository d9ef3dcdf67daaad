// A page that the console tells what changed: a stream that comes back by itself, and the words above
// the page that say when what is shown is old.
"use strict";

// `take` gets each message; `beat` is called with every second. EventSource gives the last id back by
// itself, also to a console that was started again.
function followConsole(page, address, take, beat = () => {}) {
  const stale = document.getElementById("stale");
  const OLD_MS = 6000;
  let heard = Date.now();
  let fresh = page.dataset.fresh === "yes";

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
    beat();
  }

  function connect(since) {
    const source = new EventSource(address(encodeURIComponent(since)));
    let last = since;
    source.addEventListener("line", (event) => {
      heard = Date.now();
      last = event.lastEventId;
      const message = JSON.parse(event.data);
      take(message);
      fresh = message.fresh;
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

  connect(page.dataset.since);
  setInterval(judge, 1000);
}

// The pieces of a page come as HTML that the console rendered.
function parsedPiece(html) {
  const made = document.createElement("template");
  made.innerHTML = html;
  return made.content;
}
