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
  let last = page.dataset.since;
  let stream = null; // the stream, while somebody can see the page
  let again = 0;

  function judge() {
    if (document.hidden) return;
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

  function connect() {
    clearTimeout(again);
    if (stream || document.hidden) return;
    const source = new EventSource(address(encodeURIComponent(last)));
    stream = source;
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
    source.addEventListener("error", async () => {
      // A browser gives up for good after an answer that is no stream (a proxy's 502): we do not.
      if (source.readyState !== EventSource.CLOSED || stream !== source) return;
      stream = null;
      if (await isLoggedOut()) return location.reload();
      again = setTimeout(connect, 2000);
    });
  }

  // A session that ended while nobody was connected is no lost connection: the page leads to the login.
  async function isLoggedOut() {
    const asked = { redirect: "manual", headers: { Accept: "text/html" } };
    const answer = await fetch(location.href, asked).catch(() => null);
    answer?.body?.cancel();
    return answer?.type === "opaqueredirect";
  }

  // Over HTTP/1.1 a browser has six connections to a host, for all of its tabs together: with a stream
  // in each of six nothing else loaded. One that nobody sees gives its own back, and misses nothing.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      stream?.close();
      stream = null;
    }
    connect();
  });
  connect();
  setInterval(judge, 1000);
}

// The pieces of a page come as HTML that the console rendered.
function parsedPiece(html) {
  const made = document.createElement("template");
  made.innerHTML = html;
  return made.content;
}
