// Keeps the page up to date without reloading it, and draws the charts. All of it can be read without this.
"use strict";
(() => {
  const EVERY = 3000;
  const GIVE_UP = 10000;
  const charts = new Map();
  const live = document.getElementById("live");

  async function get(path) {
    const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(GIVE_UP) });
    if (!answer.ok) throw new Error(String(answer.status));
    return answer;
  }

  // A part is replaced only when it differs; what the reader has opened or focused stays so.
  function replace(old, fresh) {
    const opened = new Map([...old.querySelectorAll("details[id]")].map((d) => [d.id, d.open]));
    for (const details of fresh.querySelectorAll("details[id]")) {
      if (opened.has(details.id)) details.open = opened.get(details.id);
    }
    if (old.isEqualNode(fresh)) return;
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    const index = focused ? [...old.querySelectorAll("a, summary")].indexOf(focused) : -1;
    old.replaceWith(fresh);
    if (index >= 0) fresh.querySelectorAll("a, summary")[index]?.focus({ preventScroll: true });
  }

  async function refresh() {
    const text = await (await get(location.pathname)).text();
    const page = new DOMParser().parseFromString(text, "text/html");
    const names = (from) => [...from.querySelectorAll("[data-chart]")].map((c) => c.dataset.chart).join();
    if (names(page) !== names(document) || page.body.className !== document.body.className) {
      location.reload();
      return;
    }
    document.title = page.title;
    for (const old of document.querySelectorAll("[data-live]")) {
      const fresh = page.getElementById(old.id);
      if (fresh) replace(old, document.adoptNode(fresh));
    }
    live.classList.remove("lost");
    live.innerHTML = page.getElementById("live").innerHTML;
    await Promise.all([...document.querySelectorAll("[data-chart]")].map(draw));
  }

  function lost() {
    const since = new Date(live.dataset.lost ?? Date.now());
    live.dataset.lost = since.toISOString();
    live.classList.add("lost");
    live.textContent = `Not live: no answer since ${since.toISOString().slice(11, 19)} UTC`;
  }

  async function tick() {
    if (!document.hidden) {
      try {
        await refresh();
        delete live.dataset.lost;
      } catch {
        lost();
      }
    }
    setTimeout(tick, EVERY);
  }

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const MARKS = { incident: "critical", act: "act", restart: "link", hold: "alert", relief: "relief" };

  async function draw(element) {
    const data = await (await get(`/series?database=${encodeURIComponent(element.dataset.chart)}`)).json();
    if (data.at.length < 2) return;
    const known = charts.get(element);
    if (known) {
      known.data = data;
      known.plot.setData([data.at, data.used]);
      return;
    }
    const chart = { data, plot: null };
    chart.plot = new uPlot(options(element, chart), [data.at, data.used], (plot, ready) => {
      element.replaceChildren(plot.root);
      ready();
    });
    charts.set(element, chart);
    new ResizeObserver(() => chart.plot.setSize(size(element))).observe(element);
  }

  const clock = (seconds, length) => new Date(seconds * 1000).toISOString().slice(11, 11 + length);

  function times(plot, at) {
    const { min, max } = plot.scales.x;
    return at.map((seconds) => clock(seconds, max - min > 900 ? 5 : 8));
  }

  const size = (element) => ({ width: Math.max(240, element.clientWidth), height: 220 });

  function options(element, chart) {
    const axis = { stroke: () => colour("soft"), grid: { stroke: () => colour("line"), width: 1 }, ticks: { show: false } };
    return {
      ...size(element),
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      scales: { x: { range: (_, first, last) => [Math.min(first, last - 120), last] }, y: { range: (_, __, most) => [0, Math.max(most || 0, chart.data.usable || 1)] } },
      axes: [{ ...axis, values: (plot, at) => times(plot, at), space: 70 }, { ...axis, size: 44 }],
      series: [
        { label: "at", value: (_, seconds) => (seconds === null ? "-" : `${clock(seconds, 8)} UTC`) },
        { label: "used slots", stroke: () => colour("ink"), width: 2, points: { show: false }, value: (_, used) => used ?? "-" },
      ],
      hooks: { drawClear: [(plot) => bands(plot, chart.data)], draw: [(plot) => marks(plot, chart.data)] },
    };
  }

  function bands(plot, data) {
    const { left, width } = plot.bbox;
    for (const band of data.bands) {
      const top = plot.valToPos(band.high, "y", true);
      plot.ctx.fillStyle = colour(`${band.level}-wash`);
      plot.ctx.fillRect(left, top, width, plot.valToPos(band.low, "y", true) - top);
    }
  }

  function marks(plot, data) {
    const { ctx, bbox } = plot;
    const dot = devicePixelRatio;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top - 6 * dot, bbox.width, bbox.height + 6 * dot);
    ctx.clip();
    for (const mark of data.marks) {
      const x = plot.valToPos(mark.at, "x", true);
      ctx.strokeStyle = ctx.fillStyle = colour(MARKS[mark.kind]);
      const opens = mark.kind === "incident";
      ctx.lineWidth = (opens ? 2.5 : 1) * dot;
      ctx.setLineDash(opens ? [] : [3 * dot, 3 * dot]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.beginPath();
      ctx.arc(x, bbox.top, 4 * dot, 0, 2 * Math.PI);
      ctx.fill();
    }
    ctx.restore();
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const { plot } of charts.values()) plot.redraw();
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) refresh().catch(lost);
  });
  Promise.all([...document.querySelectorAll("[data-chart]")].map(draw)).catch(lost);
  setTimeout(tick, EVERY);
})();
