// What both kinds of pages share: theme, the list of keys, and the question whether a key is meant for a field.
const byId = (id) => document.getElementById(id);
const typing = (event) => ["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName) && event.target.type !== "range" && event.target.type !== "checkbox";

function turn() {
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try { localStorage.setItem("audit-theme", theme); } catch (error) { console.info("the theme is not kept", error); }
}

for (const dialog of document.querySelectorAll("dialog")) dialog.querySelector("button").addEventListener("click", () => dialog.close());
byId("theme").addEventListener("click", turn);
byId("help").addEventListener("click", () => byId("keys").showModal());
document.addEventListener("keydown", (event) => {
  if (typing(event) || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.key === "t") turn();
  if (event.key === "?") byId("keys").showModal();
});
