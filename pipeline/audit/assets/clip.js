// The film strips of one clip share one time line; all pictures of a strip are tiles of one file.
const player = byId("player");
let now = 0, playing = null;

function show(index) {
  const { columns, rows, count } = player.dataset;
  now = (index + +count) % +count;
  const at = (i) => {
    const x = i % columns, y = Math.floor(i / columns);
    return `${columns > 1 ? (100 * x) / (columns - 1) : 0}% ${rows > 1 ? (100 * y) / (rows - 1) : 0}%`;
  };
  for (const sprite of document.querySelectorAll(".panels .sprite")) sprite.style.backgroundPosition = at(now);
  for (const thumb of document.querySelectorAll(".thumb")) {
    thumb.style.backgroundPosition = at(+thumb.dataset.index);
    thumb.classList.toggle("pick", +thumb.dataset.index === now);
  }
  for (const mark of document.querySelectorAll(".now")) {
    const [x, y] = mark.dataset.places.split(";")[now].split(",");
    mark.setAttribute("cx", x); mark.setAttribute("cy", y);
  }
  byId("scrub").value = now;
  byId("now").textContent = `frame ${player.dataset.frames.split(",")[now]}, ${(+player.dataset.times.split(",")[now]).toFixed(3)} s`;
}

function play() {
  playing = playing ? clearInterval(playing) : setInterval(() => show(now + 1), 120);
  byId("play").textContent = playing ? "❚❚" : "▶";
}

if (player) {
  byId("scrub").addEventListener("input", (event) => show(+event.target.value));
  byId("play").addEventListener("click", play);
  for (const thumb of document.querySelectorAll(".thumb")) thumb.addEventListener("click", () => show(+thumb.dataset.index));
  show(Math.floor(player.dataset.count / 2)); // the first frames have no motion to show
}
document.addEventListener("keydown", (event) => {
  if (typing(event) || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const go = (id) => { if (byId(id)) location.href = byId(id).href; };
  const keys = { j: () => go("next"), k: () => go("previous"), u: () => go("up"), Escape: () => go("up") };
  if (player) Object.assign(keys, { ArrowRight: () => show(now + 1), ArrowLeft: () => show(now - 1), " ": play });
  if (!(event.key in keys)) return;
  event.preventDefault();
  keys[event.key]();
});
