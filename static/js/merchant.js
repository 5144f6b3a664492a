/* Charts of the dashboard, drawn again whenever htmx brings a fresh canvas. */
(() => {
  const drawn = new WeakMap();
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function draw(canvas) {
    if (drawn.has(canvas)) return;
    const { labels, datasets } = JSON.parse(canvas.dataset.bars);
    const lines = canvas.dataset.type === "line";
    drawn.set(canvas, new Chart(canvas, {
      type: lines ? "line" : "bar",
      data: {
        labels,
        datasets: datasets.map((set) => ({
          ...set,
          backgroundColor: color(set.color),
          borderColor: color(set.color),
          borderWidth: lines ? 2 : 0,
          pointRadius: 0,
          stepped: lines,
          stack: lines ? undefined : "one",
        })),
      },
      options: {
        animation: false,
        maintainAspectRatio: false,
        interaction: { intersect: false, mode: "index" },
        plugins: { legend: { display: true, position: "bottom", labels: { boxWidth: 12 } } },
        scales: {
          x: { stacked: !lines, grid: { display: false }, ticks: { maxRotation: 0 } },
          y: { stacked: !lines, beginAtZero: true, ticks: { precision: 0 } },
        },
      },
    }));
  }

  // The theme's search boxes have no name of their own while they are empty.
  function nameSearchBoxes() {
    document.querySelectorAll("select.admin-autocomplete").forEach((select) => {
      const box = select.nextElementSibling?.querySelector(".select2-selection");
      const label = select.getAttribute("aria-label") || select.labels[0]?.innerText;
      if (!box || !label) return;
      box.removeAttribute("aria-labelledby");
      box.setAttribute("aria-label", label);
      box.querySelector("[role=textbox]")?.setAttribute("aria-label", label);
    });
  }

  // Django's boxes of chosen things have tips that are named without a role.
  function nameTips() {
    document.querySelectorAll(".help-tooltip").forEach((tip) => tip.setAttribute("role", "img"));
  }

  // The menu and a long table are both "scrollable content" until one has a name.
  function nameMenu() {
    const menu = document.getElementById("nav-sidebar-apps");
    if (menu) menu.dataset.simplebarAriaLabel = "Menu";
  }

  // Printing needs scripts, so its button comes with them.
  function offerPrinting() {
    document.querySelectorAll("[data-print]").forEach((button) => {
      button.hidden = false;
      button.addEventListener("click", () => window.print());
    });
  }

  const drawAll = (root) => root.querySelectorAll("canvas[data-bars]").forEach(draw);
  window.addEventListener("load", () => drawAll(document));
  window.addEventListener("load", () => setTimeout(nameTips));
  document.addEventListener("DOMContentLoaded", nameMenu);
  document.addEventListener("DOMContentLoaded", offerPrinting);
  // Behind Django's own start of these boxes, which waits in the same line.
  document.addEventListener("DOMContentLoaded", () => window.django?.jQuery?.(nameSearchBoxes));
  document.addEventListener("formset:added", () => setTimeout(nameSearchBoxes));
  document.addEventListener("htmx:afterSettle", (event) => drawAll(event.target));
  document.addEventListener("htmx:beforeCleanupElement", (event) => {
    const chart = drawn.get(event.target);
    if (chart) chart.destroy();
  });
})();
