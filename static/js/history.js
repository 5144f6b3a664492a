/* A product's history: stock, promises and threshold over time, status changes marked. */
(() => {
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const shapes = { success: "circle", warning: "triangle", danger: "rectRot" };
  const two = (number) => String(number).padStart(2, "0");

  function moment(ms, isLong) {
    const at = new Date(ms);
    const day = `${at.getUTCFullYear()}-${two(at.getUTCMonth() + 1)}-${two(at.getUTCDate())}`;
    const time = `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}`;
    return isLong ? `${day} ${time}` : [day, time];
  }

  function draw(canvas) {
    const { series, marks, marks_label: label } = JSON.parse(canvas.dataset.history);
    const lines = series.map((set, index) => ({
      label: set.label,
      data: set.points.map(([x, y]) => ({ x, y })),
      backgroundColor: color(set.color),
      borderColor: color(set.color),
      borderDash: index === 2 ? [6, 4] : [],
      borderWidth: 2,
      pointRadius: 0,
      stepped: true,
    }));
    const flips = {
      label,
      data: marks.map(({ x, y, text }) => ({ x, y, text })),
      backgroundColor: marks.map((mark) => mark.color),
      borderColor: marks.map((mark) => mark.color),
      pointStyle: marks.map((mark) => shapes[mark.type]),
      pointRadius: 6,
      showLine: false,
    };
    new Chart(canvas, {
      type: "line",
      data: { datasets: marks.length ? [...lines, flips] : lines },
      options: {
        animation: false,
        maintainAspectRatio: false,
        interaction: { mode: "nearest", axis: "x", intersect: false },
        plugins: {
          legend: { position: "bottom", labels: { boxWidth: 12 } },
          tooltip: {
            callbacks: {
              title: (items) => (items.length ? `${moment(items[0].parsed.x, true)} UTC` : ""),
              label: (item) => item.raw.text ?? `${item.dataset.label}: ${item.parsed.y}`,
            },
          },
        },
        scales: {
          x: {
            type: "linear",
            min: series[0].points[0][0],
            max: series[0].points.at(-1)[0],
            grid: { display: false },
            ticks: { maxRotation: 0, maxTicksLimit: 6, callback: (ms) => moment(ms) },
          },
          y: { beginAtZero: true, ticks: { precision: 0 } },
        },
      },
    });
  }

  window.addEventListener("load", () => {
    document.querySelectorAll("canvas[data-history]").forEach(draw);
  });
})();
