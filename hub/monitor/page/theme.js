// Light or dark: as the system says, until the person here says otherwise. Before the first paint.
"use strict";
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const kept = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  const keep = (theme) => { try { localStorage.setItem("theme", theme); } catch { /* private */ } };
  const show = () => { root.dataset.theme = kept() || (system.matches ? "dark" : "light"); };
  show();
  system.addEventListener("change", show);
  addEventListener("storage", show);
  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (button) button.addEventListener("click", () => {
      keep(root.dataset.theme === "dark" ? "light" : "dark");
      show();
    });
  });
})();
