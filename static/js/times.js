// Keeps "in 4 d 9 h", "2 h ago" and running times right while the page stays open.
// The words are those of releases/templatetags/interface_format.py.

const DAY = 86400;
const HOUR = 3600;

function two(large, largeUnit, small, smallUnit) {
  return small ? `${large} ${largeUnit} ${small} ${smallUnit}` : `${large} ${largeUnit}`;
}

function coarse(seconds) {
  const whole = Math.floor(Math.abs(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < HOUR) return `${Math.floor(whole / 60)} m`;
  if (whole < DAY) return two(Math.floor(whole / HOUR), "h", Math.floor((whole % HOUR) / 60), "m");
  if (whole < 60 * DAY) return two(Math.floor(whole / DAY), "d", Math.floor((whole % DAY) / HOUR), "h");
  return `${Math.floor(whole / DAY)} d`;
}

function relative(seconds) {
  if (Math.abs(seconds) < 1) return "now";
  return seconds > 0 ? `in ${coarse(seconds)}` : `${coarse(seconds)} ago`;
}

function duration(seconds) {
  if (seconds < 10) return `${Math.max(0, Math.floor(seconds))} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < HOUR) return `${Math.floor(seconds / 60)} m ${String(Math.floor(seconds % 60)).padStart(2, "0")} s`;
  return coarse(seconds);
}

// The server's clock counts, not this machine's: the distance is measured once from the page's own Date.
let skew = 0;

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function tick() {
  const now = Date.now() + skew;
  for (const element of document.querySelectorAll("time[data-relative]")) {
    write(element, relative((Date.parse(element.dateTime) - now) / 1000));
  }
  for (const element of document.querySelectorAll("time[data-elapsed]")) {
    write(element, duration((now - Date.parse(element.dateTime)) / 1000));
  }
}

const stamp = Number(document.documentElement.dataset.now);
if (stamp) {
  const age = performance.now() - (performance.getEntriesByType("navigation")[0]?.responseStart ?? 0);
  const difference = stamp * 1000 + age - Date.now();
  if (Math.abs(difference) > 3000) skew = difference;
}
tick();
setInterval(tick, 1000);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) tick();
});
