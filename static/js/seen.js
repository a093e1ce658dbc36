// A browser grants a site about six connections, for all its tabs together. A tab that nobody sees gives its own back
// after a while; with seven open boards, the seventh page would not load at all otherwise.

const PATIENCE = 10_000;

// Calls start() as soon as the page is seen, stop() when it has been hidden for a while, and start() again afterwards.
export function whileSeen(start, stop) {
  let runs = false;
  let hiding = 0;
  const look = () => {
    clearTimeout(hiding);
    if (!document.hidden) {
      if (!runs) start();
      runs = true;
    } else if (runs) {
      hiding = setTimeout(() => {
        runs = false;
        stop();
      }, PATIENCE);
    }
  };
  document.addEventListener("visibilitychange", look);
  look();
}
