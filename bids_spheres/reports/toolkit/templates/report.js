"use strict";

/* One figure at a time: <div data-stepper> with .controls and several .step. */
function setUpStepper(stepper) {
  const steps = Array.from(stepper.querySelectorAll(".step"));
  const select = stepper.querySelector("select");
  const where = stepper.querySelector(".where");
  let current = 0;

  function show(number) {
    steps[current].classList.remove("current");
    current = (number + steps.length) % steps.length;
    steps[current].classList.add("current");
    if (select) {
      select.selectedIndex = current;
      where.textContent = current + 1 + " of " + steps.length;
    }
  }

  stepper.showStep = function (step) { show(steps.indexOf(step)); };
  for (const button of stepper.querySelectorAll("[data-step]")) {
    button.addEventListener("click", function () { show(current + Number(button.dataset.step)); });
  }
  if (select) {
    // Some browsers keep the choice over a reload.
    show(select.selectedIndex);
    select.addEventListener("change", function () { show(select.selectedIndex); });
  }
}

/* Links within the page, also in a frame without an address and to hidden figures. */
function goTo(id) {
  const target = id && document.getElementById(id);
  if (!target) { return false; }
  const stepper = target.closest("[data-stepper]");
  if (stepper && target.classList.contains("step")) { stepper.showStep(target); }
  target.scrollIntoView();
  target.focus({ preventScroll: true });
  return true;
}

/* Sort by a column: <table data-sortable>; cells may have data-key, missing values come last. */
function keyOf(row, column) {
  const cell = row.cells[column];
  const text = cell.dataset.key === undefined ? cell.textContent.trim() : cell.dataset.key;
  return text === "n/a" ? "" : text;
}

function compareKeys(a, b, numeric) {
  return numeric ? Number(a) - Number(b) : a.localeCompare(b, undefined, { numeric: true });
}

function sortRows(table, header, direction) {
  const column = header.cellIndex;
  const numeric = header.classList.contains("number");
  const rows = Array.from(table.tBodies[0].rows, function (row) {
    return { row: row, key: keyOf(row, column) };
  });
  rows.sort(function (a, b) {
    if (a.key === "" || b.key === "") { return (a.key === "") - (b.key === ""); }
    return direction * compareKeys(a.key, b.key, numeric);
  });
  table.tBodies[0].append(...rows.map(function (entry) { return entry.row; }));
}

function setUpSorting(table) {
  const hint = document.createElement("small");
  hint.className = "hint";
  hint.textContent = " Choose a column's name to sort by it.";
  table.caption.firstElementChild.append(hint);
  const headers = Array.from(table.tHead.rows[0].cells);
  for (const header of headers) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", function () {
      const falling = header.getAttribute("aria-sort") === "ascending";
      for (const other of headers) { other.removeAttribute("aria-sort"); }
      header.setAttribute("aria-sort", falling ? "descending" : "ascending");
      sortRows(table, header, falling ? -1 : 1);
    });
  }
}

/* A picture at its full size in a dialog: <div class="enlargeable"> with an image. */
function setUpEnlarging(box) {
  const button = document.createElement("button");
  button.type = "button";
  button.setAttribute("aria-label", "Enlarge the picture");
  button.append(...box.childNodes);
  box.append(button);
  button.addEventListener("click", function () {
    const dialog = document.createElement("dialog");
    const image = button.querySelector("img").cloneNode();
    image.width *= 2;
    image.height *= 2;
    dialog.className = "enlarged";
    dialog.append(image);
    dialog.addEventListener("click", function () { dialog.close(); });
    dialog.addEventListener("close", function () { dialog.remove(); button.focus(); });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/* Say below a table or a chart that it has more than is in view. */
function hintAtScrolling(scroller) {
  const rows = scroller.scrollHeight > scroller.clientHeight + 1;
  const columns = scroller.scrollWidth > scroller.clientWidth + 1;
  const isTable = scroller.classList.contains("scroller");
  const what = isTable ? [rows && "rows", columns && "columns"].filter(Boolean).join(" and ") : columns && "of the figure";
  scroller.nextElementSibling.textContent = what ? "Scroll for more " + what + "." : "";
}

const scrolling = new ResizeObserver(function (entries) {
  for (const entry of entries) { hintAtScrolling(entry.target); }
});
for (const scroller of document.querySelectorAll(".scroller, .chart-box")) {
  const hint = document.createElement("p");
  hint.className = "scrolls";
  scroller.after(hint);
  scrolling.observe(scroller);
}
document.querySelectorAll(".enlargeable").forEach(setUpEnlarging);
document.querySelectorAll("[data-stepper]").forEach(setUpStepper);
document.querySelectorAll("table[data-sortable]").forEach(setUpSorting);
document.addEventListener("click", function (event) {
  const link = event.target.closest("a[href^='#']");
  if (link && goTo(link.getAttribute("href").slice(1))) { event.preventDefault(); }
});
window.addEventListener("hashchange", function () { goTo(location.hash.slice(1)); });
goTo(location.hash.slice(1));
