// Finds words in the lines on the page, counts them, and walks from one to the next.
// Matches are painted with the CSS Custom Highlight API, so the lines themselves stay untouched.

const canPaint = typeof Highlight === "function" && CSS.highlights !== undefined;

export class LogFind {
  constructor(card, view, onWalk) {
    this.view = view;
    this.onWalk = onWalk;
    this.input = card.querySelector("#log-find");
    this.output = card.querySelector("[data-log-matches]");
    this.ranges = [];
    this.at = -1;
    this.timer = 0;
    this.input?.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.restart(), 120);
    });
    this.input?.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        this.input.value = "";
        this.restart();
      } else if (event.key === "Enter" && event.shiftKey) {
        event.preventDefault();
        this.walk(-1);
      }
    });
    card.querySelector("[data-log-find]")?.addEventListener("submit", (event) => {
      event.preventDefault();
      this.walk(1);
    });
    card.querySelector("[data-log-previous]")?.addEventListener("click", () => this.walk(-1));
  }

  get words() {
    return this.input?.value.trim().toLowerCase() ?? "";
  }

  restart() {
    clearTimeout(this.timer);
    this.timer = 0;
    this.ranges = [];
    this.at = -1;
    this.collect(this.view.querySelector(".line"));
    this.show();
  }

  // New lines came: look only at those.
  extend(first) {
    if (!this.words) return;
    this.collect(first);
    this.show();
  }

  collect(line) {
    const words = this.words;
    if (!words) return;
    for (let one = line; one; one = one.nextElementSibling) {
      const text = one.querySelector?.(".t");
      if (text?.textContent.toLowerCase().includes(words)) this.collectIn(text, words);
    }
  }

  collectIn(text, words) {
    const walker = document.createTreeWalker(text, NodeFilter.SHOW_TEXT);
    const nodes = [];
    let all = "";
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      nodes.push([all.length, node]);
      all += node.data;
    }
    const place = (offset) => {
      const [start, node] = nodes.findLast(([begin]) => begin <= offset);
      return [node, Math.min(offset - start, node.length)];
    };
    const lower = all.toLowerCase();
    if (lower.length !== all.length) return; // A letter whose small form is longer: places would be wrong.
    for (let at = lower.indexOf(words); at !== -1; at = lower.indexOf(words, at + words.length)) {
      const range = document.createRange();
      range.setStart(...place(at));
      range.setEnd(...place(at + words.length));
      this.ranges.push(range);
    }
  }

  walk(step) {
    if (this.timer) this.restart(); // What was typed last is not searched yet; doing it later would lose the place.
    if (!this.ranges.length) return;
    if (this.at === -1) this.at = this.nearest(step);
    else this.at = (this.at + step + this.ranges.length) % this.ranges.length;
    this.onWalk();
    this.line(this.ranges[this.at])?.scrollIntoView({ block: "center" });
    this.show();
  }

  nearest(step) {
    const top = this.view.getBoundingClientRect().top;
    const below = this.ranges.findIndex((range) => this.line(range).getBoundingClientRect().bottom > top);
    if (below === -1) return step > 0 ? 0 : this.ranges.length - 1;
    return below;
  }

  line(range) {
    const start = range.startContainer;
    return (start instanceof Element ? start : start.parentElement)?.closest(".line");
  }

  show() {
    for (const line of this.view.querySelectorAll(".found")) line.classList.remove("found");
    const current = this.ranges[this.at];
    if (current) this.line(current)?.classList.add("found");
    if (canPaint) {
      CSS.highlights.set("found", new Highlight(...this.ranges));
      CSS.highlights.set("find-current", new Highlight(...(current ? [current] : [])));
    }
    if (!this.output) return;
    if (!this.words) this.output.textContent = "";
    else if (!this.ranges.length) this.output.textContent = "no match";
    else this.output.textContent = `${this.at + 1 || "–"} of ${this.ranges.length}`;
  }
}
