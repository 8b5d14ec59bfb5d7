// Hover and zoom for the charts that share the run's time axis. The page is complete without this.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent || "null");
  const boxes = [...document.querySelectorAll(".time .box")];
  if (!data || !boxes.length) return;

  const nbsp = "\u00a0";
  const series = new Map(data.charts.map((chart) => [chart.id, chart]));
  const view = { from: 0, to: data.end_s };
  let cursor = null;

  // ---- numbers, as the page says them -------------------------------------------------------------------------
  function digits(value) {
    if (value === 0) return "0";
    const size = Math.abs(Number(value.toPrecision(3)));
    if (size >= 100) return (value < 0 ? "−" : "") + Math.round(size).toLocaleString("en-US");
    return (value < 0 ? "−" : "") + size.toFixed(Math.max(0, 2 - Math.floor(Math.log10(size))));
  }
  const scaled = (value, steps) => {
    const [factor, unit] = steps.find(([factor]) => Number(value.toPrecision(3)) >= factor) || steps[steps.length - 1];
    return digits(value / factor) + nbsp + unit;
  };
  const said = {
    us: (v) => scaled(v, [[1e6, "s"], [1e3, "ms"], [1, "µs"]]),
    bytes: (v) => scaled(v, [[1024 ** 3, "GiB"], [1024 ** 2, "MiB"], [1024, "KiB"], [1, "B"]]),
    per_s: (v) => digits(v) + nbsp + "/s",
    cores: (v) => digits(v) + nbsp + "cores",
    count: (v) => Math.round(v).toLocaleString("en-US"),
  };
  function runTime(seconds) {
    const s = Math.max(0, Math.floor(seconds + 1e-9));
    const two = (n) => String(n).padStart(2, "0");
    if (s < 60) return s + nbsp + "s";
    if (s < 3600) return Math.floor(s / 60) + ":" + two(s % 60);
    return Math.floor(s / 3600) + ":" + two(Math.floor(s / 60) % 60) + ":" + two(s % 60);
  }
  function wallClock(seconds) {
    return data.start_ms === null ? "" : new Date(data.start_ms + seconds * 1000).toISOString().slice(11, 19) + " UTC";
  }

  // ---- the parts of each chart --------------------------------------------------------------------------------
  const element = (tag, className, parent) => {
    const made = document.createElement(tag);
    made.className = className;
    if (parent) parent.append(made);
    return made;
  };
  const charts = boxes.map((box) => {
    const figure = box.closest("figure");
    const overlay = element("div", "overlay", box);
    const hair = element("div", "hair", box);
    const choice = element("div", "choice", box);
    const read = figure && element("div", "read", box);
    hair.hidden = choice.hidden = true;
    if (read) read.hidden = true;
    if (figure) {
      overlay.tabIndex = 0;
      overlay.setAttribute("role", "application");
      overlay.setAttribute("aria-roledescription", "chart cursor");
      overlay.setAttribute("aria-label", "Arrow keys read values, plus and minus zoom, Escape ends");
      read.setAttribute("aria-live", "polite");
    }
    return { box, figure, overlay, hair, choice, read, svgs: [...box.querySelectorAll("svg.chart")] };
  });

  const shown = (chart) => chart.svgs.find((svg) => svg.getBoundingClientRect().width > 0);
  function plot(chart) {
    const svg = shown(chart);
    if (!svg) return null;
    const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
    const [left, top, width, height] = svg.dataset.plot.split(" ").map((n) => Number(n) * scale);
    return { left, top, width, height };
  }
  const placeOf = (seconds, area) => area.left + ((seconds - view.from) / (view.to - view.from)) * area.width;
  const timeAt = (x, area) => view.from + Math.min(1, Math.max(0, (x - area.left) / area.width)) * (view.to - view.from);

  // ---- hover: all series at the instant, on all charts together ------------------------------------------------
  function point(seconds, speaker) {
    cursor = seconds;
    for (const chart of charts) {
      const area = plot(chart);
      const off = seconds === null || !area;
      chart.hair.hidden = off;
      if (chart.read) chart.read.hidden = off;
      if (off) continue;
      const bin = Math.floor(seconds / data.bin_s);
      Object.assign(chart.hair.style, {
        left: placeOf(Math.min((bin + 0.5) * data.bin_s, view.to), area) + "px", top: area.top + "px", height: area.height + "px",
      });
      if (!chart.read) continue;
      chart.read.setAttribute("aria-live", chart === speaker ? "polite" : "off");
      chart.read.replaceChildren();
      const at = element("b", "", chart.read);
      at.textContent = runTime(bin * data.bin_s);
      if (chart === speaker && data.start_ms !== null) element("span", "", chart.read).textContent = wallClock(bin * data.bin_s);
      const of = series.get(chart.figure.id);
      for (const line of of ? of.series : []) {
        const value = line.values[bin];
        element("span", "", chart.read).textContent = line.name + " " + (value == null ? "–" : said[of.unit](value));
      }
    }
  }

  // ---- zoom: the same window on all charts --------------------------------------------------------------------
  function step(length) {
    const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200];
    return steps.find((s) => s >= length) || 86400;
  }
  function redraw(svg) {
    const [left, top, width, height] = svg.dataset.plot.split(" ").map(Number);
    const full = view.from === 0 && view.to === data.end_s;
    const from = left + (view.from / data.end_s) * width;
    svg.querySelector(".plot").setAttribute("viewBox", `${from} ${top} ${((view.to - view.from) / data.end_s) * width} ${height}`);
    const x = (seconds) => left + ((seconds - view.from) / (view.to - view.from)) * width;
    for (const rule of svg.querySelectorAll("[data-x]")) {
      const at = Number(rule.dataset.x);
      rule.style.display = at < view.from || at > view.to ? "none" : "";
      rule.setAttribute("d", `M${x(at)} ${top}V${top + height}`);
    }
    for (const shade of svg.querySelectorAll("[data-start]")) {
      const start = Math.max(view.from, Number(shade.dataset.start)), word = shade.firstElementChild;
      shade.style.display = start < Math.min(view.to, Number(shade.dataset.end)) ? "" : "none";
      word.dataset.home ??= word.getAttribute("x");
      const room = svg.viewBox.baseVal.width - word.getComputedTextLength();
      word.setAttribute("x", full ? word.dataset.home : Math.min(x(start), room));
    }
    for (const span of svg.querySelectorAll("[data-from]")) {
      const start = Math.max(view.from, Number(span.dataset.from)), end = Math.min(view.to, Number(span.dataset.to));
      span.style.display = end > start ? "" : "none";
      span.firstElementChild.setAttribute("x", (x(start) + x(end)) / 2);
      if (end > start && span.firstElementChild.getComputedTextLength() > x(end) - x(start)) span.style.display = "none";
    }
    const ticks = svg.querySelector(".ticks-x");
    if (!ticks) return;
    ticks.replaceChildren();
    const every = step((view.to - view.from) / (width / 72));
    const make = (tag, attributes) => {
      const made = document.createElementNS(svg.namespaceURI, tag);
      for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
      ticks.append(made);
      return made;
    };
    for (let at = Math.ceil(view.from / every) * every; at <= view.to + 1e-9; at += every) {
      make("path", { class: "g base", d: `M${x(at)} ${top + height}v4` });
      make("text", { class: "t", x: x(at), y: top + height + 18, "text-anchor": "middle" }).textContent = runTime(at);
    }
  }
  function zoom(from, to) {
    const least = Math.min(data.end_s, 4 * data.bin_s);
    const length = Math.min(data.end_s, Math.max(least, to - from));
    view.from = Math.min(Math.max(0, from), data.end_s - length);
    view.to = view.from + length;
    for (const chart of charts) chart.svgs.forEach(redraw);
    const full = length === data.end_s;
    reset.disabled = full;
    status.textContent = full ? hint : `${runTime(view.from)} to ${runTime(view.to)}`;
    point(cursor);
  }

  // ---- hands and keys -----------------------------------------------------------------------------------------
  for (const chart of charts) {
    let start = null;
    const x = (event) => event.clientX - chart.box.getBoundingClientRect().left;
    chart.overlay.addEventListener("pointermove", (event) => {
      const area = plot(chart);
      if (!area) return;
      point(timeAt(x(event), area), chart);
      if (start === null) return;
      const left = placeOf(Math.min(start, cursor), area), right = placeOf(Math.max(start, cursor), area);
      chart.choice.hidden = right - left < 4;
      Object.assign(chart.choice.style, { left: left + "px", width: right - left + "px", top: area.top + "px", height: area.height + "px" });
    });
    chart.overlay.addEventListener("pointerdown", (event) => {
      if (event.pointerType !== "mouse" || event.button !== 0) return;
      chart.overlay.setPointerCapture(event.pointerId);
      start = timeAt(x(event), plot(chart));
    });
    chart.overlay.addEventListener("pointerup", () => {
      if (start !== null && !chart.choice.hidden) zoom(Math.min(start, cursor), Math.max(start, cursor));
      start = null;
      chart.choice.hidden = true;
    });
    chart.overlay.addEventListener("pointerleave", () => point(null));
    chart.overlay.addEventListener("dblclick", () => zoom(0, data.end_s));
    chart.overlay.addEventListener("blur", () => point(null));
    chart.overlay.addEventListener("keydown", (event) => {
      const length = view.to - view.from, middle = cursor === null ? view.from : cursor;
      const move = (by) => point(Math.min(Math.max(view.from, middle + by), view.to - data.bin_s / 2), chart);
      const act = {
        ArrowRight: () => move(cursor === null ? 0 : data.bin_s), ArrowLeft: () => move(-data.bin_s),
        PageDown: () => move(length / 10), PageUp: () => move(-length / 10),
        Home: () => point(view.from, chart), End: () => point(view.to - data.bin_s / 2, chart),
        "+": () => zoom(middle - length / 4, middle + length / 4), "-": () => zoom(middle - length, middle + length),
        Escape: () => { zoom(0, data.end_s); point(null); },
      }[event.key === "=" ? "+" : event.key];
      if (!act) return;
      event.preventDefault();
      act();
    });
  }

  addEventListener("resize", () => point(cursor));

  const hint = "Point at a chart to read all of them; drag to zoom.";
  const tools = element("div", "tools");
  const status = element("span", "", tools);
  const reset = element("button", "", tools);
  status.textContent = hint;
  reset.type = "button";
  reset.textContent = "Whole run";
  reset.disabled = true;
  reset.addEventListener("click", () => zoom(0, data.end_s));
  (document.querySelector("#over-time .strip") || document.querySelector("#over-time figure")).before(tools);
})();
