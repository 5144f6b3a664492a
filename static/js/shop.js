// Countdowns on the server's clock, times of day in the visitor's zone, pictures that
// turn in place, clicks that no answer takes away, and a word when the connection is lost.
// Everything here only improves what the page already says.
(function () {
  "use strict";

  const language = document.documentElement.lang || undefined;
  const dayFormat = new Intl.NumberFormat(language, {
    style: "unit",
    unit: "day",
    unitDisplay: "long",
  });

  function clock(seconds) {
    const whole = Math.max(0, Math.ceil(seconds));
    const days = Math.floor(whole / 86400);
    const pad = (number) => String(number).padStart(2, "0");
    const hours = Math.floor((whole % 86400) / 3600);
    const rest = `${pad(Math.floor((whole % 3600) / 60))}:${pad(whole % 60)}`;
    const text = whole >= 3600 ? `${pad(hours)}:${rest}` : rest;
    return days ? `${dayFormat.format(days)}, ${text}` : text;
  }

  // An element carries the server's time when it was written and the time it waits
  // for, both in milliseconds; only the difference meets the visitor's own clock.
  const ends = new WeakMap();

  function tick() {
    const now = performance.now();
    for (const element of document.querySelectorAll("[data-until]")) {
      if (!ends.has(element)) {
        ends.set(element, now + Number(element.dataset.until) - Number(element.dataset.now));
      }
      const left = (ends.get(element) - now) / 1000;
      const text = clock(left);
      if (element.textContent !== text) element.textContent = text;
      if (left <= 0 && element.dataset.due !== "told") {
        element.dataset.due = "told";
        element.dispatchEvent(new CustomEvent("due", { bubbles: true }));
      }
    }
  }

  function localTimes() {
    const style = { dateStyle: "medium", timeStyle: "short" };
    for (const element of document.querySelectorAll("time[data-local]")) {
      element.textContent = new Intl.DateTimeFormat(language, style).format(
        new Date(element.dateTime),
      );
      element.removeAttribute("data-local");
    }
  }

  function refresh() {
    localTimes();
    tick();
  }

  // A thumbnail turns its gallery without moving the page or filling the history, and
  // the mark follows the picture that is seen.
  function startGallery(gallery) {
    const slides = gallery.querySelector(".slides");
    const thumbs = [...gallery.querySelectorAll(".thumbs a")];
    thumbs.forEach((thumb, index) => {
      thumb.addEventListener("click", (event) => {
        event.preventDefault();
        slides.scrollTo({ left: slides.children[index].offsetLeft - slides.offsetLeft });
      });
    });
    slides.addEventListener("scroll", () => {
      const seen = Math.round(slides.scrollLeft / slides.clientWidth);
      thumbs.forEach((thumb, index) => {
        if (index === seen) thumb.setAttribute("aria-current", "true");
        else thumb.removeAttribute("aria-current");
      });
    });
  }

  // An item that is being asked for does not hear that the waiting room has changed: its
  // answer may be older than that, so it is asked for once more.
  function askAgain() {
    for (const live of document.querySelectorAll("[id^=flash-live-].htmx-request")) {
      const settled = (event) => {
        if (event.detail.requestConfig?.elt !== live) return;
        document.removeEventListener("htmx:afterSettle", settled);
        document.getElementById(live.id)?.dispatchEvent(new CustomEvent("due"));
      };
      document.addEventListener("htmx:afterSettle", settled);
    }
  }

  // An answer that comes between press and release would take the button away, and the
  // click with it. It is left out, and asked for again after the release.
  let pressed = null;
  let leftOut = null;

  function keepPressed(event) {
    if (!pressed || !event.detail.target.contains(pressed)) return;
    event.detail.shouldSwap = false;
    leftOut = event.detail.target;
  }

  function release() {
    setTimeout(() => {
      leftOut?.dispatchEvent(new CustomEvent("due"));
      pressed = leftOut = null;
    });
  }

  function setOffline(isOffline) {
    document.body.classList.toggle("is-offline", isOffline);
  }

  document.addEventListener("DOMContentLoaded", () => {
    refresh();
    document.querySelectorAll(".gallery").forEach(startGallery);
  });
  document.addEventListener("htmx:afterSettle", refresh);
  document.addEventListener("room-changed", askAgain, true);
  document.addEventListener("pointerdown", (event) => (pressed = event.target));
  document.addEventListener("pointerup", release);
  document.addEventListener("pointercancel", release);
  document.addEventListener("htmx:beforeSwap", keepPressed);
  document.addEventListener("htmx:sendError", () => setOffline(true));
  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.successful) setOffline(false);
  });
  setInterval(tick, 250);
})();
