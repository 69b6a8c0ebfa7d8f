"use strict";

/* Show what belongs to one strategy, or all: <div data-choice> with buttons, for its .step. */
function setUpChoice(choice) {
  const scope = choice.closest(".step") || document;
  const buttons = Array.from(choice.querySelectorAll("[data-pick]"));
  function pick(button) {
    for (const other of buttons) { other.setAttribute("aria-pressed", String(other === button)); }
    const picked = button.dataset.pick;
    for (const element of scope.querySelectorAll("[data-of]")) {
      element.classList.toggle("unpicked", picked !== "" && element.dataset.of !== picked);
    }
  }
  for (const button of buttons) {
    button.addEventListener("click", function () { pick(button); });
  }
}

/* Integers of one byte, or of two with the lower first, from base64; the lowest is missing. */
function unpacked(text, size) {
  const bytes = Uint8Array.from(atob(text), function (letter) { return letter.charCodeAt(0); });
  const view = new DataView(bytes.buffer);
  if (size === 1) {
    return { at: function (i) { return view.getInt8(i); }, missing: -128 };
  }
  return { at: function (i) { return view.getInt16(2 * i, true); }, missing: -32768 };
}

/* Show the pair under the pointer, or chosen by arrow keys: <div class="matrix">. */
function setUpMatrix(matrix, lists) {
  const n = Number(matrix.dataset.n);
  const names = lists[matrix.dataset.names] || [];
  const picture = matrix.querySelector("image");
  const output = matrix.querySelector("output");
  const cross = document.createElementNS(picture.namespaceURI, "path");
  let layers = null;
  let row = -1;
  let column = -1;

  // Decoding waits for the first look: a page may hold a hundred matrices.
  function unpackedLayers() {
    const first = {
      label: "", digits: 2,
      values: matrix.dataset.values, step: matrix.dataset.step, bytes: matrix.dataset.bytes,
    };
    const more = JSON.parse(matrix.dataset.more || "[]");
    return [first].concat(more).map(function (layer) {
      return {
        label: layer.label, digits: layer.digits, probability: layer.probability,
        step: Number(layer.step), values: unpacked(layer.values, Number(layer.bytes)),
      };
    });
  }

  function valueOf(layer, i, j) {
    const low = Math.min(i, j);
    const high = Math.max(i, j);
    const whole = layer.values.at(low * n - (low * (low - 1)) / 2 + high - low);
    if (whole === layer.values.missing) { return "n/a"; }
    const value = whole * layer.step;
    const least = Math.pow(10, -layer.digits);
    if (layer.probability && value < least) { return "below " + least; }
    const text = value.toFixed(layer.digits);
    return (Number(text) || !value ? text : value.toPrecision(1)).replace("-", "\u2212");
  }

  function valuesOf(i, j) {
    layers = layers || unpackedLayers();
    return layers.map(function (layer) {
      return (layer.label && layer.label + " ") + valueOf(layer, i, j);
    }).join(", ");
  }

  function showPair(i, j) {
    row = Math.max(0, Math.min(n - 1, i));
    column = Math.max(0, Math.min(n - 1, j));
    output.textContent = names[row] + " \u2013 " + names[column] + ": " + valuesOf(row, column);
    const size = Number(picture.getAttribute("width"));
    const left = Number(picture.getAttribute("x"));
    const top = Number(picture.getAttribute("y"));
    const across = left + ((column + 0.5) * size) / n;
    const down = top + ((row + 0.5) * size) / n;
    cross.setAttribute("d", "M" + left + "," + down + "h" + size + "M" + across + "," + top + "v" + size);
  }

  cross.setAttribute("class", "cross");
  picture.ownerSVGElement.append(cross);
  matrix.addEventListener("pointermove", function (event) {
    const box = picture.getBoundingClientRect();
    const i = Math.floor(((event.clientY - box.top) / box.height) * n);
    const j = Math.floor(((event.clientX - box.left) / box.width) * n);
    if (i >= 0 && i < n && j >= 0 && j < n) { showPair(i, j); }
  });
  matrix.addEventListener("keydown", function (event) {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const move = moves[event.key];
    if (!move || event.altKey || event.ctrlKey || event.metaKey) { return; }
    event.preventDefault();
    if (row < 0) { showPair(0, Math.min(1, n - 1)); } else { showPair(row + move[0], column + move[1]); }
  });
}

function setUpMatrices() {
  const matrices = document.querySelectorAll(".matrix");
  if (!matrices.length) { return; }
  const lists = JSON.parse(document.getElementById("names-of-rows").textContent);
  for (const matrix of matrices) { setUpMatrix(matrix, lists); }
}

document.querySelectorAll("[data-choice]").forEach(setUpChoice);
setUpMatrices();
