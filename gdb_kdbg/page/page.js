"use strict";
(() => {
  const one = (selector, inside = document) => inside.querySelector(selector);
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const store = JSON.parse(one("#data").textContent);
  const SEQ = 0, AT = 1, LANE = 2, PROC = 3, CALLER = 4, PLACE = 5, WHO = 6, TAG = 7, ROLE = 8, TO = 9, FROM = 10, SIZE = 11, WROTE = 12, FLAGS = 13;
  const MARKED = 1, NEAR = 2, TORN = 4;

  // What works without the copies: copy buttons, unfolding for print, pictures that open at their victim.
  for (const button of all("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      try { await navigator.clipboard.writeText(button.dataset.copy); } catch { selectText(button.previousElementSibling); }
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }
  function selectText(element) {
    const range = document.createRange();
    range.selectNodeContents(element);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    document.execCommand("copy");
  }
  let folded = [];
  addEventListener("beforeprint", () => { folded = all("details:not([open])"); for (const d of folded) d.open = true; });
  addEventListener("afterprint", () => { for (const d of folded) d.open = false; folded = []; });
  for (const box of all("[data-scroll]")) {
    box.scrollLeft = Number(one("svg", box).dataset.victim) - box.clientWidth / 2 + 80;
  }

  const lanesOfMemory = all(".memory .copy");
  document.documentElement.dataset.ready = "yes";
  if (!store) return;
  const rows = store.rows, texts = store.texts, shapes = store.shapes, count = rows.length;
  const bySequence = new Map(rows.map((row, index) => [String(row[SEQ]), index]));
  const foot = store.height - store.bottom;
  let width = store.width, gutter = store.gutter, span = width - gutter - store.right;
  const chart = one("#chart"), svg = one("svg", chart), marks = one("#marks"), rings = one("#rings"), brush = one("#brush");
  let first = store.first, last = store.last, chosen = rows.findIndex((row) => row[FLAGS] & MARKED);
  const home = chosen;

  const make = (name, attributes, text) => {
    const element = document.createElementNS(svg.namespaceURI, name);
    for (const key in attributes) element.setAttribute(key, attributes[key]);
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const x = (at) => gutter + (at - first) / (last - first) * span;
  const y = (lane) => store.top + store.lane * lane + store.lane / 2;
  const atLeast = (at) => {
    let low = 0, high = count;
    while (low < high) { const m = (low + high) >> 1; if (rows[m][AT] < at) low = m + 1; else high = m; }
    return low;
  };
  const bytes = (n) => `${n.toLocaleString("en")} byte${n === 1 ? "" : "s"}`;
  const hex = (n) => `0x${n.toString(16)}`;
  const wrap = (n) => BigInt.asUintN(64, n);

  function describe(row) {
    const place = texts[row[PLACE]], role = texts[row[ROLE]], start = BigInt(`0x${row[TO]}`);
    const area = (size) => `${hex(start)} – ${hex(wrap(start + BigInt(size)))}`;
    const context = [texts[row[TAG]], texts[row[WHO]]].filter(Boolean).join(", ");
    const wrote = row[WROTE] === null ? "" : ` Written: ${bytes(row[WROTE])}, ${area(row[WROTE])}.`;
    return `${role && `${role[0].toUpperCase()}${role.slice(1)}. `}Copy ${row[SEQ]} by ${texts[row[CALLER]]}${place ? ` (${place})` : ""}` +
      `${context ? `, ${context}` : ""}. Asked: ${bytes(row[SIZE])}, ${area(row[SIZE])}.${wrote}`;
  }

  // The drawing: one mark for each lane and column, one path for the marks of a lane and process.
  function draw() {
    const columns = new Map(), paths = new Map();
    for (let i = atLeast(first); i < count && rows[i][AT] <= last; i++) {
      const row = rows[i], c = Math.floor(x(row[AT]) / store.column);
      const key = row[FLAGS] & (MARKED | NEAR) ? `alone ${i}` : row[LANE] * 4096 + c;
      let found = columns.get(key);
      if (!found) columns.set(key, found = { n: 0, row, c, by: shapes.map(() => 0) });
      found.n += 1;
      found.by[row[PROC]] += 1;
    }
    let crowded = false;
    for (const { n, row, c, by } of columns.values()) {
      const process = by.indexOf(Math.max(...by)), key = (row[FLAGS] & (MARKED | NEAR) ? 1 << 20 : 0) + row[LANE] * 64 + process;
      const at = n === 1 ? x(row[AT]).toFixed(1) : c * store.column + store.column / 2;
      crowded ||= n > 1;
      const mark = `M${at},${y(row[LANE])}${shapes[process][Math.min(3, Math.floor(Math.log2(n)))]}`;
      paths.set(key, (paths.get(key) || "") + mark);
    }
    marks.replaceChildren(...[...paths].sort((a, b) => a[0] - b[0]).map(([key, d]) => make("path", { d, class: `mark p${key & 63}` })));
    one("#crowd").hidden = !crowded;
    drawRings();
    drawTicks();
    for (const moment of all(".moment", svg)) {
      const at = Number(moment.dataset.at), words = one("text", moment), atRight = x(at) > width - 160;
      moment.setAttribute("transform", `translate(${x(at).toFixed(1)},0)`);
      words.setAttribute("x", atRight ? -5 : 5);
      words.setAttribute("text-anchor", atRight ? "end" : "start");
      moment.setAttribute("visibility", at < first || at > last ? "hidden" : "visible");
    }
    all("[data-zoom]").forEach((button) => { button.disabled = unusable(button.dataset.zoom); });
  }
  function unusable(what) {
    if (what === "marked") return false;
    const whole = first <= store.first && last >= store.last;
    return what === "in" ? last - first <= 4 * (store.last - store.first) / Math.max(8, count * 2) : whole;
  }
  const ringed = rows.filter((row) => row[FLAGS] & (MARKED | NEAR));
  function drawRings() {
    const shown = ringed.filter((row) => row[AT] >= first && row[AT] <= last).map((row) =>
      make("circle", { cx: x(row[AT]).toFixed(1), cy: y(row[LANE]), r: 9, class: row[FLAGS] & MARKED ? "ring culprit" : "ring" }));
    const row = rows[chosen];
    if (row && row[AT] >= first && row[AT] <= last) {
      shown.push(make("circle", { cx: x(row[AT]).toFixed(1), cy: y(row[LANE]), r: 12.5, class: "ring chosen" }));
    }
    rings.replaceChildren(...shown);
  }
  function drawTicks() {
    const raw = Math.max((last - first) / Math.min(8, span / 90), store.step), power = 10 ** Math.floor(Math.log10(raw));
    const step = power * [1, 2, 5, 10].find((factor) => power * factor >= raw * 0.999);
    const made = [];
    for (let i = Math.ceil(first / step); i * step <= last; i++) {
      const at = x(i * step).toFixed(1), label = Number((i * step).toPrecision(10)).toLocaleString("en", { maximumFractionDigits: 9 });
      made.push(make("line", { x1: at, x2: at, y1: store.top, y2: foot + 4, class: "grid" }),
        make("text", { x: at, y: foot + 17, class: "tick" }, label));
    }
    one("#ticks").replaceChildren(...made);
  }

  // The drawing takes the width there is; on a narrow screen names are cut for it.
  function fit() {
    const room = Math.max(300, Math.min(store.width, chart.clientWidth));
    if (room === width) return;
    width = room;
    gutter = Math.min(store.gutter, Math.round(width * 0.36));
    span = width - gutter - store.right;
    svg.setAttribute("viewBox", `0 0 ${width} ${store.height}`);
    svg.setAttribute("width", width);
    all(".lane", svg).forEach((lane) => lane.setAttribute("width", width));
    one(".unit", svg).setAttribute("x", width - store.right);
    for (const caller of all(".caller", svg)) {
      const name = caller.firstChild.textContent, letters = Math.floor((gutter - 24) / 6.7);
      caller.lastChild.data = name.length > letters ? `${name.slice(0, letters - 1)}…` : name;
    }
    draw();
  }
  new ResizeObserver(fit).observe(chart);

  function show(from, to) {
    const least = Math.max((store.last - store.first) / Math.max(8, count * 2) * 4, 1e-9);
    const size = Math.min(Math.max(to - from, least), store.last - store.first);
    first = Math.min(Math.max((from + to - size) / 2, store.first), store.last - size);
    last = first + size;
    draw();
  }
  function zoom(factor, around) {
    const at = around === undefined ? (chosen >= 0 && inSight(chosen) ? rows[chosen][AT] : (first + last) / 2) : around;
    const share = (at - first) / (last - first), size = (last - first) * factor;
    show(at - share * size, at + (1 - share) * size);
  }
  const inSight = (index) => rows[index][AT] >= first && rows[index][AT] <= last;

  function choose(index, bring = true) {
    if (index < 0 || index >= count) return;
    chosen = index;
    const row = rows[index];
    for (const panel of all("[data-detail]")) {
      panel.textContent = describe(row);
      // Below the picture of memory only what is in it.
      const drawn = !panel.closest("#memory") || lanesOfMemory.some((lane) => lane.dataset.sequence === String(row[SEQ]));
      if (bring) panel.hidden = !drawn;
    }
    for (const lane of lanesOfMemory) lane.classList.toggle("chosen", lane.dataset.sequence === String(row[SEQ]));
    for (const line of all("#copies-rows tr")) line.classList.toggle("chosen", line.dataset.sequence === String(row[SEQ]));
    if (bring && !inSight(index)) show(row[AT] - (last - first) / 2, row[AT] + (last - first) / 2);
    else drawRings();
  }

  function nextLane(step) {
    const start = Math.max(0, chosen), wanted = rows[start][LANE] + step;
    let best = -1;
    rows.forEach((row, i) => {
      if ((row[LANE] - wanted) * step >= 0) {
        const better = best < 0 || (row[LANE] - rows[best][LANE]) * step < 0 ||
          (row[LANE] === rows[best][LANE] && Math.abs(i - start) < Math.abs(best - start));
        if (better) best = i;
      }
    });
    choose(best);
  }

  const commands = {
    in: () => zoom(0.5), out: () => zoom(2), fit: () => show(store.first, store.last),
    marked: () => { if (home >= 0) { choose(home); } },
  };
  const keys = {
    ArrowLeft: () => choose(chosen < 0 ? count - 1 : chosen - 1), ArrowRight: () => choose(chosen + 1),
    ArrowUp: () => nextLane(-1), ArrowDown: () => nextLane(1), Home: () => choose(0), End: () => choose(count - 1),
    "+": commands.in, "=": commands.in, "-": commands.out, 0: commands.fit, c: commands.marked,
  };
  chart.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || !Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    keys[event.key]();
  });
  all("[data-zoom]").forEach((button) => button.addEventListener("click", () => commands[button.dataset.zoom]()));

  // The pointer: what is under it, a click chooses, a drag zooms, a double click shows all.
  const point = (event) => {
    const box = svg.getBoundingClientRect(), scale = width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  };
  const atX = (px) => first + (px - gutter) / span * (last - first);
  function under(event) {
    const [px, py] = point(event), lane = Math.floor((py - store.top) / store.lane), reach = 10;
    let best = -1, distance = reach;
    for (let i = atLeast(atX(px - reach)); i < count && rows[i][AT] <= atX(px + reach); i++) {
      const away = Math.abs(x(rows[i][AT]) - px);
      if (rows[i][LANE] === lane && away < distance) { best = i; distance = away; }
    }
    return best;
  }
  let pressed = null;
  svg.addEventListener("pointerdown", (event) => {
    const [px] = point(event);
    if (event.button === 0 && px >= gutter) pressed = px;
  });
  svg.addEventListener("pointermove", (event) => {
    const [px] = point(event);
    if (pressed === null) { chart.title = ""; const i = under(event); if (i >= 0) chart.title = describe(rows[i]); return; }
    if (Math.abs(px - pressed) > 4) svg.setPointerCapture(event.pointerId);
    brush.setAttribute("x", Math.min(px, pressed));
    brush.setAttribute("width", Math.abs(px - pressed));
  });
  svg.addEventListener("pointerup", (event) => {
    if (pressed === null) return;
    const [px] = point(event), from = pressed;
    pressed = null;
    brush.setAttribute("width", 0);
    if (Math.abs(px - from) > 4) show(atX(Math.min(px, from)), atX(Math.max(px, from)));
    else { const i = under(event); if (i >= 0) choose(i); }
  });
  svg.addEventListener("pointercancel", () => { pressed = null; brush.setAttribute("width", 0); });
  svg.addEventListener("dblclick", commands.fit);

  // Copies in the picture of memory: one stop for Tab, arrows along them.
  const memoryLane = (index) => {
    lanesOfMemory.forEach((lane, i) => lane.setAttribute("tabindex", i === index ? 0 : -1));
    return lanesOfMemory[index];
  };
  lanesOfMemory.forEach((lane, index) => {
    const pick = () => choose(bySequence.get(lane.dataset.sequence) ?? -1);
    lane.addEventListener("focus", pick);
    lane.addEventListener("click", pick);
    lane.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
      const next = event.key === "Home" ? 0 : event.key === "End" ? lanesOfMemory.length - 1 : index + step;
      if (!lanesOfMemory[next]) return;
      event.preventDefault();
      memoryLane(next).focus();
    });
  });
  if (lanesOfMemory.length) memoryLane(Math.max(0, lanesOfMemory.findIndex((lane) => lane.classList.contains("culprit"))));

  // The table: a hundred at a time of those that have the words in them.
  const PAGE = 100, body = one("#copies-rows"), filter = one("#filter");
  let listed = rows.map((_, index) => index), page = 0;
  const cells = (row) => [row[SEQ], texts[row[CALLER]], texts[row[PLACE]], texts[row[WHO]], texts[row[TAG]], `0x${row[TO]}`,
    `0x${row[FROM]}`, sizes(row)];
  function sizes(row) {
    const wrote = row[WROTE] === null ? "" : `, wrote ${row[WROTE].toLocaleString("en")}`, flags = row[FLAGS];
    return `${row[SIZE].toLocaleString("en")}${wrote}${flags & MARKED ? ` (${texts[row[ROLE]]})` : ""}${flags & TORN ? ", torn" : ""}`;
  }
  const inCode = new Set([1, 5, 6]);
  function list() {
    const from = page * PAGE, shown = listed.slice(from, from + PAGE);
    body.replaceChildren(...shown.map((index) => {
      const line = document.createElement("tr"), row = rows[index];
      line.dataset.sequence = row[SEQ];
      line.classList.toggle("culprit", Boolean(row[FLAGS] & MARKED));
      line.classList.toggle("chosen", index === chosen);
      line.append(...cells(row).map((value, i) => {
        const cell = document.createElement("td");
        const place = inCode.has(i) ? cell.appendChild(document.createElement("code")) : cell;
        place.textContent = value;
        return cell;
      }));
      line.addEventListener("click", () => choose(index));
      return line;
    }));
    one("#page").textContent = listed.length ? `${from + 1}–${from + shown.length} of ${listed.length.toLocaleString("en")}` : "none";
    one("#earlier").disabled = page === 0;
    one("#later").disabled = from + PAGE >= listed.length;
  }
  const turn = (step) => { page += step; list(); };
  one("#earlier").addEventListener("click", () => turn(-1));
  one("#later").addEventListener("click", () => turn(1));
  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    listed = [];
    rows.forEach((row, index) => {
      const line = cells(row).join(" ").toLowerCase();
      if (words.every((word) => line.includes(word))) listed.push(index);
    });
    page = 0;
    list();
  });
  page = Math.floor(Math.max(0, home < 0 ? count - 1 : home) / PAGE);
  one("#pager").hidden = false;
  one("#some")?.remove();
  one(".controls").hidden = false;
  one("#copies-keys").hidden = false;
  list();
  draw();
  fit();
  if (home >= 0) choose(home, false);
})();
