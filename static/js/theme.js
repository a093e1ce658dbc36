// Runs before the first paint: the kept theme is set before anything is drawn.
(() => {
  try {
    const theme = localStorage.getItem("gonogo-theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // Storage is closed to us: the system's own theme stays.
  }
})();
