// Tests a report from within, in the browser, and leaves what it found in `data-found` of the root element of the page around it.
"use strict";
addEventListener("load", () => {
  const found = [], wide = document.documentElement.clientWidth;
  const tooWide = (when) => {
    const page = document.documentElement.scrollWidth;
    if (page > wide) found.push(`${when}, the page is ${page} px wide, the screen ${wide}`);
  };
  tooWide("at first");
  for (const e of document.querySelectorAll("main *")) {
    const box = e.getBoundingClientRect();
    if (!box.width || e.closest(".hidden, .scroll, .plot, .read")) continue;
    if (box.right > wide + 1 || box.left < -1) found.push("cut off: " + e.outerHTML.slice(0, 120));
  }
  for (const svg of document.querySelectorAll("svg.chart")) {
    if (!svg.getBoundingClientRect().width) continue;
    const texts = [...svg.querySelectorAll("text")].map((t) => [t, t.getBoundingClientRect()]).filter(([, b]) => b.width);
    for (const [a, p] of texts) for (const [b, q] of texts)
      if (a !== b && p.left < q.right - 1 && q.left < p.right - 1 && p.top < q.bottom - 4 && q.top < p.bottom - 4)
        found.push("overlap: " + a.textContent + " / " + b.textContent + " in " + (svg.closest("figure") || {}).id);
    for (const [t] of texts) if (parseFloat(getComputedStyle(t).fontSize) * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width < 10) found.push("tiny: " + t.textContent);
  }
  const overlay = document.querySelector("#deliveries .overlay");
  if (overlay) {
    const box = overlay.getBoundingClientRect();
    overlay.dispatchEvent(new PointerEvent("pointermove", { clientX: box.left + box.width / 2, clientY: box.top + 50 }));
    const shown = [...document.querySelectorAll(".read")].filter((r) => !r.hidden);
    if (shown.length !== document.querySelectorAll("figure.time").length) found.push("hover read " + shown.length + " charts");
    if (shown.some((r) => r.textContent.includes("NaN") || r.textContent.includes("undefined"))) found.push("hover says " + shown.map((r) => r.textContent));
    const ticks = () => document.querySelector("#deliveries .ticks-x").textContent;
    const before = ticks();
    overlay.focus();
    for (const key of ["ArrowRight", "+", "ArrowLeft"]) overlay.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    if (ticks() === before) found.push("the keyboard does not zoom");
    overlay.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
    if (!document.querySelector(".tools button").disabled) found.push("Escape does not end the zoom");
  } else if (document.querySelector("figure.time")) found.push("the script did not run");
  for (const details of document.querySelectorAll("details")) details.open = true;
  tooWide("with all tables open");
  const dark = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  if (dark !== frameElement.name) found.push("the page is " + dark);
  if (innerWidth !== Number(frameElement.width)) found.push("the screen is " + innerWidth + " px wide");
  parent.document.documentElement.dataset.found = found.join(" | ");
});
