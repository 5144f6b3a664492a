/* The stock desk by keyboard: it works without this, by Tab, Enter and the buttons. */
(() => {
  const form = document.getElementById("changelist-form");
  const PLACE = "desk-place";
  if (!form) return;

  const boxes = () => [...form.querySelectorAll(".desk-box input[type=number]")];
  const shown = (box) => form.elements[`${box.name}_shown`].value;
  const reasonOf = (box) => box.parentElement.querySelector(".desk-reason");
  const isCount = (box) => box.name.endsWith("-on_hand");
  const isTouched = (box) => box.value !== shown(box);

  function mark(box) {
    box.classList.toggle("is-touched", isTouched(box));
    if (isCount(box)) reasonOf(box).classList.toggle("is-shown", isTouched(box));
  }

  function giveUp(box) {
    box.value = shown(box);
    const reason = reasonOf(box);
    if (reason) reason.value = "";
    mark(box);
  }

  // The same figure in the row above or below.
  function neighbour(box, step) {
    const figure = box.name.split("-")[1];
    const column = boxes().filter((other) => other.name.split("-")[1] === figure);
    return column[column.indexOf(box) + step];
  }

  function go(box) {
    if (!box) return;
    box.focus();
    box.select();
  }

  form.addEventListener("input", (event) => {
    if (event.target.matches(".desk-box input[type=number]")) mark(event.target);
  });

  form.addEventListener("keydown", (event) => {
    const box = event.target;
    const isBox = box.matches(".desk-box input[type=number]");
    if (!isBox && !box.matches(".desk-reason")) return;
    const count = isBox ? box : box.parentElement.querySelector("input[type=number]");
    if (event.key === "Escape") {
      event.preventDefault();
      giveUp(count);
      // Out of the box to the figure's own link; out of the reason back to its box.
      if (isBox) box.parentElement.querySelector("a").focus();
      else go(count);
    } else if (isBox && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      go(neighbour(box, event.key === "ArrowDown" ? 1 : -1));
    } else if (event.key === "Enter" && isBox && isCount(box) && isTouched(box)) {
      const reason = reasonOf(box);
      if (reason.value.trim()) return;
      event.preventDefault();
      reason.classList.add("is-shown");
      reason.focus();
    }
  });

  // After saving, the page comes anew: back to the box somebody was in.
  form.addEventListener("submit", () => {
    const { name } = document.activeElement ?? {};
    if (name && /^\d+-/.test(name)) sessionStorage.setItem(PLACE, name.replace("reason", "on_hand"));
  });

  function comeBack() {
    const name = sessionStorage.getItem(PLACE);
    sessionStorage.removeItem(PLACE);
    const wrong = form.querySelector("[aria-invalid]");
    if (wrong) go(wrong);
    else if (name) go(form.elements[name]);
  }

  function ask(dialog) {
    dialog.close();
    dialog.showModal();
    dialog.addEventListener("close", () => go(form.querySelector("[aria-invalid]")));
  }

  const all = document.getElementById("action-toggle");
  if (all) {
    all.hidden = false;
    all.addEventListener("change", () => {
      form.querySelectorAll(".action-select").forEach((tick) => { tick.checked = all.checked; });
    });
  }

  document.querySelectorAll(".desk-filters").forEach((filters) => {
    filters.addEventListener("formdata", (event) => {
      for (const [name, value] of [...event.formData]) if (!value) event.formData.delete(name);
    });
  });

  boxes().forEach(mark);
  const dialog = document.getElementById("conflicts");
  if (dialog) ask(dialog);
  else comeBack();
})();
