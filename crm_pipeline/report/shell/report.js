"use strict";
(function () {
  const root = document.documentElement;
  const pages = Array.from(document.querySelectorAll(".page"));
  const links = Array.from(document.querySelectorAll("nav a"));
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.setAttribute("aria-hidden", "true");
  document.body.append(tip);
  root.classList.add("scripted");

  // Text and grid in the page's own colours; marks bring theirs.
  function look(printing) {
    const style = getComputedStyle(root);
    const colour = (name, onPaper) => (printing ? onPaper : style.getPropertyValue(name).trim());
    const ink = colour("--ink", "#000");
    const soft = colour("--soft", "#333");
    const grid = colour("--grid", "#ddd");
    const font = getComputedStyle(document.body).fontFamily;
    return {
      background: "transparent",
      font: font,
      view: { stroke: null },
      axis: {
        labelColor: soft, titleColor: soft, labelFontSize: 12, titleFontSize: 12,
        titleFontWeight: "normal", titlePadding: 8, gridColor: grid, domainColor: grid,
        tickColor: grid, labelPadding: 5,
      },
      axisBand: { grid: false, ticks: false, domain: false },
      legend: {
        labelColor: ink, titleColor: soft, labelFontSize: 12, titleFontSize: 12,
        titleFontWeight: "normal", symbolSize: 90, rowPadding: 3,
      },
      text: { color: ink },
      line: { strokeWidth: 2 },
      bar: { discreteBandSize: { band: 0.75 } },
      geoshape: { stroke: grid },
    };
  }

  function tell(handler, event, item, value) {
    if (!value || typeof value !== "object") {
      tip.style.display = "none";
      return;
    }
    tip.replaceChildren();
    for (const [name, shown] of Object.entries(value)) {
      const row = document.createElement("div");
      const bold = document.createElement("b");
      bold.textContent = String(shown);
      row.append(name + ":", bold);
      tip.append(row);
    }
    tip.style.display = "block";
    const box = tip.getBoundingClientRect();
    tip.style.left = Math.max(4, Math.min(event.clientX + 14, innerWidth - box.width - 4)) + "px";
    tip.style.top = Math.max(4, Math.min(event.clientY + 14, innerHeight - box.height - 4)) + "px";
  }

  // Charts are drawn when their page is first shown: a hidden one has no width.
  function draw(page, printing) {
    for (const script of page.querySelectorAll("script.spec")) {
      const place = script.previousElementSibling;
      const wanted = printing || !dark.matches ? "light" : "dark";
      if (place.dataset.drawn === wanted) continue;
      if (place.view) place.view.finalize();
      place.dataset.drawn = wanted;
      const spec = JSON.parse(script.textContent);
      // what has a shape of its own, as a map, keeps it at every width
      const ratio = spec.usermeta && spec.usermeta.heightOverWidth;
      if (ratio) spec.height = Math.min(Math.round(place.clientWidth * ratio), 520);
      vegaEmbed(place, spec, {
        actions: false, renderer: "svg", ast: true, config: look(printing), tooltip: tell,
      }).then(function (made) {
        place.view = made;
        place.querySelector("svg").setAttribute("aria-hidden", "true");
        page.dataset.waiting = page.querySelectorAll(".chart:not(:has(svg))").length;
      });
    }
  }

  function show(focus) {
    const key = decodeURIComponent(location.hash.slice(1));
    const target = key ? document.getElementById(key) : null;
    if (key === "content") return;
    const page = (target && target.closest(".page")) || pages[0];
    for (const one of pages) one.classList.toggle("shown", one === page);
    for (const link of links) {
      if (link.hash === "#" + page.id) {
        link.setAttribute("aria-current", "page");
        const list = link.closest("ul");
        const item = link.parentElement;
        list.scrollLeft = item.offsetLeft - list.offsetLeft - (list.clientWidth - item.clientWidth) / 2;
      } else link.removeAttribute("aria-current");
    }
    draw(page, false);
    tip.style.display = "none";
    if (target && target !== page) target.scrollIntoView();
    else if (focus) {
      window.scrollTo(0, 0);
      page.querySelector("h1").focus({ preventScroll: true });
    }
  }

  window.addEventListener("hashchange", () => show(true));
  window.addEventListener("beforeprint", function () {
    for (const page of pages) page.classList.add("shown");
    for (const page of pages) draw(page, true);
  });
  window.addEventListener("afterprint", () => show(false));
  dark.addEventListener("change", () => show(false));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") tip.style.display = "none";
  });
  show(false);
})();
