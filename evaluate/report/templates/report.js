"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const signed = (value, digits) => value.toFixed(digits).replace("-", "\u2212");

  // What a marker says, and what every curve says at the latency under the pointer.
  const tip = document.getElementById("tip");
  const say = (lines, event) => {
    tip.classList.toggle("on", lines.length > 0);
    if (!lines.length) return;
    tip.replaceChildren(...lines.map((line) => Object.assign(document.createElement("div"), { textContent: line })));
    const near = event.pointerType === "mouse";
    tip.classList.toggle("near", near);
    tip.style.left = near ? `${Math.max(8, Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8))}px` : "";
    tip.style.top = near ? `${Math.max(8, Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8))}px` : "";
  };
  const read = (readings, at) => {
    const next = readings.findIndex(([x]) => x >= at);
    if (next < 0 || at < readings[0][0]) return null;
    if (next === 0) return readings[0];
    const [before, after] = [readings[next - 1], readings[next]];
    const share = (at - before[0]) / (after[0] - before[0]);
    return before.map((value, i) => value + share * (after[i] - value));
  };
  const readings = new Map(all("[data-readings]").map((series) => [series, JSON.parse(series.dataset.readings)]));
  const readChart = (chart, event) => {
    const { left, right, from, to } = chart.dataset;
    const box = chart.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * chart.viewBox.baseVal.width;
    const at = Number(from) + ((x - left) / (right - left)) * (to - from);
    const lines = [];
    for (const series of all("[data-readings]:not([hidden])", chart)) {
      const found = x >= left && x <= right && read(readings.get(series), at);
      if (found) lines.push([found[1], `${series.dataset.name}: BLEU ${found[1].toFixed(1)} [${found[2].toFixed(1)}, ${found[3].toFixed(1)}]`]);
    }
    if (chart.classList.contains("many")) lines.sort((one, other) => other[0] - one[0]);
    const hair = chart.querySelector(".hair");
    hair.setAttribute("x1", x);
    hair.setAttribute("x2", x);
    hair.classList.toggle("on", lines.length > 0);
    return lines.length ? [`LAAL ${signed(at, 0)} ms, between the points`, ...lines.map(([, line]) => line)] : [];
  };
  const point = (event) => {
    const marker = event.target.closest("[data-tip]");
    const chart = event.target.closest(".chart[data-from]");
    all(".hair.on").forEach((hair) => hair.classList.remove("on"));
    say(marker ? [marker.dataset.tip] : chart && "clientX" in event ? readChart(chart, event) : [], event);
  };
  for (const kind of ["pointermove", "pointerdown", "focusin"]) document.addEventListener(kind, point);
  document.addEventListener("focusout", (event) => say([], event));

  // Which systems and policies the pictures of policies show; bands only where they can be told apart.
  const legend = document.querySelector(".legend");
  const choose = () => {
    const off = (name) => new Set(all(`input[name=${name}]:not(:checked)`, legend).map((input) => input.value));
    const [systems, policies] = [off("system"), off("policy")];
    for (const part of all("#policies .chart [data-system]")) part.toggleAttribute("hidden", systems.has(part.dataset.system) || policies.has(part.dataset.policy));
    for (const panel of all("[data-panel]")) panel.hidden = policies.has(panel.dataset.panel);
    const chart = document.querySelector("#policies figure .chart");
    chart.classList.toggle("many", all("polygon.band:not([hidden])", chart).length > 4);
  };
  if (legend) {
    for (const input of all("input", legend)) input.hidden = false;
    legend.addEventListener("input", choose);
    choose();
  }

  // One clock per utterance: its sound where the page has it, the cursor and the words in any case.
  const articles = all("article");
  const halt = () => articles.forEach((article) => article.querySelector("audio")?.pause());
  for (const article of articles) {
    const audio = article.querySelector("audio");
    const seeker = article.querySelector(".seek");
    const duration = Number(article.dataset.duration);
    let now = 0;
    const show = (time) => {
      now = Math.max(0, Math.min(duration, time));
      article.classList.add("live");
      article.querySelector(".cursor").style.left = `${(100 * now) / duration}%`;
      article.querySelector(".clock").textContent = `${now.toFixed(2)} of ${duration.toFixed(2)} s`;
      seeker.setAttribute("aria-valuenow", now.toFixed(2));
      seeker.setAttribute("aria-valuetext", `${now.toFixed(2)} seconds`);
      for (const write of all("[data-at]", article)) write.classList.toggle("ahead", Number(write.dataset.at) > now + 0.005);
    };
    const seek = (time) => { show(time); if (audio) audio.currentTime = now; };
    const follow = () => { if (audio.paused) return; show(audio.currentTime); requestAnimationFrame(follow); };
    const toggle = () => { if (!audio) return; if (audio.paused) { halt(); audio.play(); } else audio.pause(); };
    seeker.addEventListener("click", (event) => {
      const box = seeker.getBoundingClientRect();
      seek(((event.clientX - box.left) / box.width) * duration);
    });
    seeker.addEventListener("keydown", (event) => {
      const moves = { ArrowRight: now + 0.1, ArrowUp: now + 0.1, ArrowLeft: now - 0.1, ArrowDown: now - 0.1, PageUp: now + 1, PageDown: now - 1, Home: 0, End: duration };
      if (event.key in moves) seek(moves[event.key]);
      else if (event.key === " ") toggle();
      else return;
      event.preventDefault();
    });
    if (!audio) continue;
    const button = article.querySelector(".play");
    button.addEventListener("click", toggle);
    const label = (playing) => { article.classList.toggle("playing", playing); button.setAttribute("aria-label", `${playing ? "Pause" : "Play"} ${article.dataset.id}`); };
    audio.addEventListener("play", () => { label(true); follow(); });
    audio.addEventListener("pause", () => { label(false); show(audio.currentTime); });
  }

  // Which utterances are shown, in which order, with which systems.
  const controls = document.querySelector(".controls");
  if (!controls) return;
  const list = document.getElementById("list");
  const [find, show, sort, shown] = ["find", "show", "sort", "shown"].map((id) => document.getElementById(id));
  const number = (article, key) => Number(article.dataset[key]);
  const arrange = () => {
    const wanted = find.value.trim().toLowerCase();
    const ordered = [...articles].sort((a, b) => (sort.value === "order" ? 0 : number(b, sort.value) - number(a, sort.value)) || number(a, "order") - number(b, "order"));
    list.replaceChildren(...ordered);
    for (const article of articles) {
      const kept = show.value === "all" || number(article, show.value) > 0;
      article.hidden = !kept || !article.textContent.toLowerCase().includes(wanted);
      if (article.hidden) article.querySelector("audio")?.pause();
    }
    shown.textContent = `${articles.filter((article) => !article.hidden).length} of ${articles.length} utterances`;
  };
  controls.addEventListener("input", (event) => {
    const system = event.target.value;
    if (event.target.type !== "checkbox") return arrange();
    for (const part of all("[data-system]", list)) if (part.dataset.system === system) part.style.display = event.target.checked ? "" : "none";
  });
  controls.hidden = false;
  arrange();
})();
