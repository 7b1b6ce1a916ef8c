// Before the page is drawn, so that it does not flash: the reader's last choice, else the system's.
(() => {
  let chosen = null;
  try { chosen = localStorage.getItem("audit-theme"); } catch (error) { console.info("no storage for the theme", error); }
  document.documentElement.dataset.theme = chosen || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
})();
