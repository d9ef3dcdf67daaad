// Reviewing: a deck of parts whose pictures are loaded, one key for a verdict, the next one at once.
// Verdicts are sent one after the other behind the reviewer's back; one that fails brings its part
// back with the reason.
"use strict";

(() => {
  const page = document.getElementById("review");
  if (!page) return;
  const stage = document.getElementById("stage");
  const deck = document.getElementById("deck");
  const said = document.getElementById("said");
  const problem = document.getElementById("review-problem");
  const status = document.getElementById("review-status");
  const switched = page.querySelector("[data-keys]");
  const filter = JSON.parse(page.dataset.filter);
  const DECK = Number(page.dataset.deck);
  const KEPT = 20;
  const MOST_UNSENT = 8;
  let sending = Promise.resolve();
  let unsent = 0;
  let filling = null;
  let isDry = false;
  let refresh = 0;

  const card = () => stage.querySelector(".review-card");
  const parsed = (html) => {
    const made = document.createElement("template");
    made.innerHTML = html;
    return made.content;
  };

  async function post(path, body) {
    const answer = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify(body),
    });
    if (answer.ok) return answer.text();
    let words = "";
    try {
      const detail = (await answer.json()).detail;
      words = Array.isArray(detail) ? detail.map((one) => one.msg).join("; ") : String(detail);
    } catch {
      words = String(answer.status);
    }
    throw Object.assign(new Error(words), { status: answer.status });
  }

  function tell(words) {
    problem.textContent = words;
    problem.hidden = !words;
  }

  // Whose session has ended is told where to log in; what the server says is for programs.
  function tellError(error, words) {
    if (error.status !== 401) return tell(words.replace("{why}", error.message));
    problem.replaceChildren(...document.getElementById("ended").content.cloneNode(true).firstElementChild.childNodes);
    problem.hidden = false;
  }

  // --- the deck -------------------------------------------------------------------------------

  function show(next) {
    const began = performance.now();
    const content = next || document.getElementById("nothing").content.cloneNode(true);
    stage.replaceChildren(content);
    if (next) {
      lens.reset();
      const left = String(deck.children.length);
      status.textContent = page.dataset.next.replace("{part}", next.dataset.name).replace("{left}", left);
    }
    if (!document.activeElement || document.activeElement === document.body) stage.focus({ preventScroll: true });
    const image = stage.querySelector("img");
    const drawn = () => {
      const detail = { part: next ? next.dataset.part : "", ms: performance.now() - began };
      page.dispatchEvent(new CustomEvent("review:shown", { detail }));
    };
    const painted = () => requestAnimationFrame(() => requestAnimationFrame(drawn));
    if (image && image.decode) image.decode().then(painted, painted);
    else painted();
  }

  function forward() {
    const held = stage.contains(document.activeElement);
    show(deck.firstElementChild);
    if (held) stage.focus({ preventScroll: true });
    fill();
  }

  function fill() {
    const missing = DECK - 1 - deck.children.length;
    // Who is faster than the console waits for it: parts that are taken must not become too many.
    if (filling || isDry || page.dataset.chosen || missing < 2 || unsent >= MOST_UNSENT) return;
    filling = post("/review/next", { ...filter, count: missing })
      .then((html) => {
        const cards = [...parsed(html).querySelectorAll(".review-card")];
        isDry = cards.length === 0;
        if (isDry) setTimeout(() => ((isDry = false), fill()), 15000);
        deck.append(...cards);
        for (const one of cards) one.querySelector("img")?.decode?.().catch(() => {});
        if (!card() && deck.firstElementChild) show(deck.firstElementChild);
      })
      .catch((error) => {
        tellError(error, page.dataset.away);
        isDry = true;
        setTimeout(() => ((isDry = false), fill()), 5000);
      })
      .finally(() => {
        filling = null;
        if (deck.children.length < 2) fill();
      });
  }

  // --- verdicts -------------------------------------------------------------------------------

  function judge(severity, className) {
    const own = card();
    if (!own) return;
    const verdict = { frame_id: own.dataset.part };
    if (className) verdict.class_name = className;
    const as = own.querySelector("[data-as]");
    const other = className && as ? as.value : severity;
    if (other) verdict.severity = other;
    const note = own.querySelector("[data-note]").value.trim();
    if (note) verdict.comment = note;
    const painted = painter.read(own);
    if (painted) Object.assign(verdict, painted);
    tell("");
    unsent++;
    forward();
    sending = sending.then(async () => {
      try {
        const row = parsed(await post("/review/verdict", verdict)).querySelector("li");
        said.prepend(row);
        while (said.children.length > KEPT) said.lastElementChild.remove();
        page.dispatchEvent(new CustomEvent("review:taken"));
        figures();
      } catch (error) {
        const gone = error.status === 409;
        tellError(error, (gone ? page.dataset.taken : page.dataset.failed).replace("{part}", own.dataset.name));
        if (gone) return;
        const now = card();
        if (now) deck.prepend(now);
        show(own);
      } finally {
        unsent--;
        fill();
      }
    });
  }

  // Who leaves before the last verdicts are taken is asked: they would be lost without a word.
  addEventListener("beforeunload", (event) => {
    if (unsent) event.preventDefault();
  });

  function undo() {
    tell("");
    const first = said.firstElementChild;
    sending = sending.then(async () => {
      const last = said.firstElementChild || first;
      if (!last) return tell(page.dataset.nothingToUndo);
      try {
        const html = await post("/review/undo", { review_id: last.dataset.review });
        const back = parsed(html).querySelector(".review-card");
        last.remove();
        const now = card();
        if (now) deck.prepend(now);
        show(back);
        stage.focus({ preventScroll: true });
        status.textContent = page.dataset.undone.replace("{part}", back.dataset.name);
        page.dispatchEvent(new CustomEvent("review:undone"));
        figures();
      } catch (error) {
        if (error.status === 404) last.remove();
        tellError(error, error.status === 404 ? page.dataset.nothingToUndo : page.dataset.away);
      }
    });
  }

  function figures() {
    clearTimeout(refresh);
    refresh = setTimeout(async () => {
      const query = new URLSearchParams(filter);
      const answer = await fetch(`/review/figures?${query}`).catch(() => null);
      if (answer?.ok) document.getElementById("figures").innerHTML = await answer.text();
    }, 1500);
  }

  // --- looking closer: the part and the reference move together ---------------------------------

  const lens = (() => {
    let scale = 1;
    let x = 0;
    let y = 0;
    function place() {
      for (const view of stage.querySelectorAll(".lens .view")) {
        const box = view.parentElement.getBoundingClientRect();
        x = Math.min(0, Math.max(1 - scale, x));
        y = Math.min(0, Math.max(1 - scale, y));
        view.style.transform = `translate(${x * box.width}px, ${y * box.height}px) scale(${scale})`;
      }
      stage.classList.toggle("close", scale > 1);
    }
    function zoom(factor, at = [0.5, 0.5]) {
      const before = scale;
      scale = Math.min(12, Math.max(1, scale * factor));
      x = at[0] - ((at[0] - x) * scale) / before;
      y = at[1] - ((at[1] - y) * scale) / before;
      place();
    }
    return {
      zoom,
      move(dx, dy) {
        x += dx;
        y += dy;
        place();
      },
      reset() {
        [scale, x, y] = [1, 0, 0];
        place();
      },
      get isClose() {
        return scale > 1;
      },
      place,
    };
  })();

  // --- painting where the defect is ---------------------------------------------------------------

  const painter = (() => {
    const LONGEST = 512;
    let size = 12;
    let erases = false;
    let at = null;
    const figureOf = (own) => own.querySelector(".review-pictures > .lens:not([hidden])");
    const canvasOf = (own) => figureOf(own)?.querySelector("canvas");
    const isOn = () => card()?.querySelector('[data-do="paint"]')?.getAttribute("aria-pressed") === "true";

    function begin(own) {
      const figure = figureOf(own);
      const image = figure.querySelector("img");
      if (!image.naturalWidth) return;
      const canvas = document.createElement("canvas");
      const shrink = Math.min(1, LONGEST / Math.max(image.naturalWidth, image.naturalHeight));
      canvas.width = Math.max(1, Math.round(image.naturalWidth * shrink));
      canvas.height = Math.max(1, Math.round(image.naturalHeight * shrink));
      canvas.tabIndex = 0;
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", own.querySelector('[data-do="paint"]').textContent.trim());
      const edge = figure.querySelector(".outline .edge");
      const box = figure.querySelector(".outline")?.viewBox.baseVal;
      if (edge && box?.width) {
        const context = canvas.getContext("2d");
        context.fillStyle = colour();
        context.scale(canvas.width / box.width, canvas.height / box.height);
        context.fill(new Path2D(edge.getAttribute("d")));
        context.setTransform(1, 0, 0, 1, 0, 0);
      }
      figure.querySelector(".view").append(canvas);
      listen(canvas);
      canvas.focus({ preventScroll: true });
    }

    const colour = () => getComputedStyle(document.documentElement).getPropertyValue("--mark").trim() || "#f33";

    function dab(canvas, from, to) {
      const context = canvas.getContext("2d");
      context.globalCompositeOperation = erases ? "destination-out" : "source-over";
      context.strokeStyle = colour();
      context.lineWidth = size;
      context.lineCap = context.lineJoin = "round";
      context.beginPath();
      context.moveTo(...from);
      context.lineTo(to[0] + 0.01, to[1]);
      context.stroke();
      canvas.dataset.touched = "yes";
    }

    function where(canvas, event) {
      const box = canvas.getBoundingClientRect();
      const fit = Math.min(box.width / canvas.width, box.height / canvas.height);
      const left = box.left + (box.width - canvas.width * fit) / 2;
      const top = box.top + (box.height - canvas.height * fit) / 2;
      return [(event.clientX - left) / fit, (event.clientY - top) / fit];
    }

    function cursor(canvas) {
      const view = canvas.parentElement;
      let drawn = view.querySelector("svg.cursor-of");
      if (!drawn) {
        const shape = '<svg class="cursor-of" aria-hidden="true"><circle class="cursor"/></svg>';
        drawn = parsed(shape).firstChild;
        view.append(drawn);
      }
      drawn.setAttribute("viewBox", `0 0 ${canvas.width} ${canvas.height}`);
      drawn.style.pointerEvents = "none";
      for (const [name, value] of Object.entries({ cx: at[0], cy: at[1], r: size / 2 })) drawn.firstChild.setAttribute(name, value);
    }

    function listen(canvas) {
      let last = null;
      canvas.addEventListener("pointerdown", (event) => {
        event.preventDefault();
        event.stopPropagation();
        canvas.setPointerCapture(event.pointerId);
        last = at = where(canvas, event);
        dab(canvas, last, last);
      });
      canvas.addEventListener("pointermove", (event) => {
        at = where(canvas, event);
        cursor(canvas);
        if (!last) return;
        dab(canvas, last, at);
        last = at;
      });
      for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => (last = null));
    }

    return {
      get isOn() {
        return isOn();
      },
      toggle(own) {
        const button = own.querySelector('[data-do="paint"]');
        if (!button) return;
        const on = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(on));
        own.querySelector(".painting").hidden = !on;
        at = null;
        if (on && !canvasOf(own)) begin(own);
        else if (canvasOf(own)) canvasOf(own).hidden = !on;
        const outline = figureOf(own).querySelector(".outline");
        if (outline && on) {
          outline.setAttribute("hidden", ""); // it is painted on now
          own.querySelector('[data-do="outline"]').setAttribute("aria-pressed", "false");
        }
      },
      tool(own, eraser) {
        erases = eraser;
        own.querySelector('[data-do="brush"]').setAttribute("aria-pressed", String(!eraser));
        own.querySelector('[data-do="eraser"]').setAttribute("aria-pressed", String(eraser));
      },
      resize(own, by) {
        size = Math.min(120, Math.max(2, size + by));
        own.querySelector("[data-size]").textContent = String(size);
        const canvas = canvasOf(own);
        if (canvas && at) cursor(canvas);
      },
      clear(own) {
        const canvas = canvasOf(own);
        if (!canvas) return;
        canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
        canvas.dataset.touched = "yes";
      },
      key(own, key) {
        const canvas = canvasOf(own);
        const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
        if (!canvas || document.activeElement !== canvas) return false;
        if (!at) at = [canvas.width / 2, canvas.height / 2];
        if (key === " ") {
          dab(canvas, at, at);
          return true;
        }
        if (!steps[key]) return false;
        const step = Math.max(1, size / 2);
        at = [at[0] + steps[key][0] * step, at[1] + steps[key][1] * step];
        cursor(canvas);
        return true;
      },
      // COCO's uncompressed run lengths: down each column, left to right, the first run outside.
      read(own) {
        const canvas = canvasOf(own);
        if (!canvas || canvas.dataset.touched !== "yes") return null;
        const { width, height } = canvas;
        const pixels = canvas.getContext("2d").getImageData(0, 0, width, height).data;
        const counts = [];
        let inside = false;
        let run = 0;
        for (let x = 0; x < width; x++) {
          for (let y = 0; y < height; y++) {
            const is = pixels[4 * (y * width + x) + 3] > 127;
            if (is !== inside) {
              counts.push(run);
              [run, inside] = [0, is];
            }
            run++;
          }
        }
        counts.push(run);
        if (counts.length < 2) return null;
        const figure = figureOf(own);
        const image = figure.querySelector("img");
        const size = { image_width: image.naturalWidth, image_height: image.naturalHeight };
        return { painted: { height, width, counts, ...size }, painted_on: figure.dataset.frame };
      },
    };
  })();

  // --- what is shown --------------------------------------------------------------------------------

  function toggle(own, name) {
    const button = own.querySelector(`[data-do="${name}"]`);
    if (!button) return;
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    for (const drawn of own.querySelectorAll(`svg.${name}`)) drawn.toggleAttribute("hidden", !on);
  }

  function turn(figures) {
    const all = [...figures];
    const now = all.findIndex((one) => !one.hidden);
    if (all.length < 2) return;
    all[now].hidden = true;
    all[(now + 1) % all.length].hidden = false;
    lens.place();
  }

  const actions = {
    undo,
    skip: () => card() && forward(),
    outline: () => toggle(card(), "outline"),
    heat: () => toggle(card(), "heat"),
    reference: () => turn(card().querySelectorAll(".reference")),
    shot: () => turn(card().querySelectorAll(".review-pictures > .lens")),
    closer: () => lens.zoom(1.4),
    farther: () => lens.zoom(1 / 1.4),
    whole: () => lens.reset(),
    paint: () => painter.toggle(card()),
    brush: () => painter.tool(card(), false),
    eraser: () => painter.tool(card(), true),
    smaller: () => painter.resize(card(), -4),
    larger: () => painter.resize(card(), 4),
    clear: () => painter.clear(card()),
    note: () => card().querySelector("[data-note]").focus(),
    as: () => {
      const select = card().querySelector("[data-as]");
      if (select) select.selectedIndex = (select.selectedIndex + 1) % select.options.length;
    },
  };
  const keys = { z: "undo", s: "skip", o: "outline", h: "heat", r: "reference", ".": "shot", "+": "closer", "=": "closer", "-": "farther", 0: "whole", m: "paint", c: "note", w: "as" };
  const paintKeys = { b: "brush", e: "eraser", "[": "smaller", "]": "larger", x: "clear" };
  const severities = { n: "normal", d: "defect", g: "negligible", u: "unknown" };
  const always = new Set(["undo"]);

  function act(name) {
    if (always.has(name) || card()) actions[name]();
  }

  page.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.do) act(button.dataset.do);
    else if (button.dataset.severity) judge(button.dataset.severity, "");
    else if (button.dataset.class) judge("", button.dataset.class);
  });

  addEventListener("keydown", (event) => {
    if (!switched.checked || event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    if (target instanceof Element && target.matches("input:not([type=checkbox]), select, textarea")) {
      if (event.key === "Escape") stage.focus({ preventScroll: true });
      return;
    }
    const own = card();
    if (own && painter.isOn && (painter.key(own, event.key) || paintKeys[event.key])) {
      event.preventDefault();
      if (paintKeys[event.key] && event.key.length === 1) act(paintKeys[event.key]);
      return;
    }
    const arrows = { ArrowLeft: [0.1, 0], ArrowRight: [-0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };
    if (lens.isClose && arrows[event.key]) {
      event.preventDefault();
      lens.move(...arrows[event.key]);
      return;
    }
    if (event.repeat && !["+", "-", "="].includes(event.key)) return;
    if (keys[event.key]) {
      event.preventDefault();
      act(keys[event.key]);
    } else if (own && severities[event.key]) judge(severities[event.key], "");
    else if (own && event.key.length === 1) {
      const named = [...own.querySelectorAll("[data-key]")].find((one) => one.dataset.key === event.key);
      if (named) judge("", named.dataset.class);
    }
  });

  stage.addEventListener(
    "wheel",
    (event) => {
      const figure = event.target.closest(".lens");
      if (!figure) return;
      event.preventDefault();
      const box = figure.getBoundingClientRect();
      lens.zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]);
    },
    { passive: false },
  );
  let drag = null;
  stage.addEventListener("pointerdown", (event) => {
    const figure = event.target.closest(".lens");
    if (figure && lens.isClose) drag = [figure.getBoundingClientRect(), event.clientX, event.clientY];
  });
  addEventListener("pointermove", (event) => {
    if (!drag) return;
    lens.move((event.clientX - drag[1]) / drag[0].width, (event.clientY - drag[2]) / drag[0].height);
    [drag[1], drag[2]] = [event.clientX, event.clientY];
  });
  for (const name of ["pointerup", "pointercancel"]) addEventListener(name, () => (drag = null));

  // Keys of one letter can be switched off (WCAG 2.1.4): whoever dictates would press them.
  try {
    switched.checked = localStorage.getItem("review-keys") !== "off";
  } catch {
    switched.checked = true;
  }
  const mark = () => page.classList.toggle("keyless", !switched.checked);
  switched.addEventListener("change", () => {
    localStorage.setItem("review-keys", switched.checked ? "on" : "off");
    mark();
  });
  mark();

  if (deck.firstElementChild) show(deck.firstElementChild);
  fill();
})();
