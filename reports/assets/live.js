// The page of a run that goes on: renews itself every few seconds, and leaves the reader where they were.
"use strict";
(() => {
  const EVERY = 4000, BUSY = 1000, KEY = "throng-live " + location.pathname;
  const status = document.getElementById("renewal");
  // A browser may forbid storage; then only the place on the page is kept.
  const store = { get: () => null, set: () => {} };
  try {
    sessionStorage.getItem(KEY);
    store.get = () => JSON.parse(sessionStorage.getItem(KEY));
    store.set = (value) => sessionStorage.setItem(KEY, JSON.stringify(value));
  } catch { /* as above */ }

  // A table is known by the figure or section that it stands in, for each of these holds few.
  const tables = () => [...document.querySelectorAll("details")].map((table, i, all) => {
    const home = table.closest("[id]");
    return [home.id + "/" + all.filter((t, j) => j < i && t.closest("[id]") === home).length, table];
  });
  const kept = store.get();
  if (kept) {
    for (const [name, table] of tables()) table.open = kept.open.includes(name);
    scrollTo({ top: kept.top, behavior: "instant" });
  }

  // Somebody who reads a chart, has zoomed, or marks text is not disturbed.
  const busy = () =>
    document.hidden || String(getSelection()) !== "" ||
    document.querySelector(".read:not([hidden]), .tools button:not([disabled])") !== null;
  async function renew() {
    if (busy()) return void setTimeout(renew, BUSY);
    try {
      // Where the page came from a server that has ended since, this page stays rather than an error.
      if (location.protocol.startsWith("http")) await fetch(location.href, { method: "HEAD", cache: "no-store" });
    } catch {
      if (status) status.textContent = "This page can’t be renewed any more: its server has ended.";
      return;
    }
    store.set({ top: scrollY, open: tables().filter(([, table]) => table.open).map(([name]) => name) });
    location.reload();
  }
  setTimeout(renew, EVERY);
})();
