"use strict";
for (const viewer of document.querySelectorAll(".viewer")) {
  const frames = [...viewer.querySelectorAll(".frame")];
  const slider = viewer.querySelector("input[type=range]");
  const all = viewer.querySelector("[data-all]");

  const show = (index) => {
    const place = Math.min(Math.max(index, 0), frames.length - 1);
    frames.forEach((frame, other) => frame.classList.toggle("shown", other === place));
    slider.value = place;
    slider.setAttribute("aria-valuetext", frames[place].dataset.name);
  };
  const showAll = (wanted) => {
    viewer.classList.toggle("all", wanted);
    all.setAttribute("aria-pressed", wanted);
  };
  const go = (index) => {
    showAll(false);
    show(index);
  };

  slider.addEventListener("input", () => go(Number(slider.value)));
  for (const button of viewer.querySelectorAll("[data-step]")) {
    button.addEventListener("click", () => go(Number(slider.value) + Number(button.dataset.step)));
  }
  viewer.querySelector("[data-worst]")?.addEventListener("click", () => {
    const here = Number(slider.value);
    const worst = frames.flatMap((frame, index) => frame.classList.contains("worst") ? [index] : []);
    if (worst.length) go(worst.find((index) => index > here) ?? worst[0]);
  });
  all.addEventListener("click", () => showAll(!viewer.classList.contains("all")));

  // A link to a frame shows it in its viewer.
  const follow = () => {
    const index = frames.findIndex((frame) => "#" + frame.id === location.hash);
    if (index < 0) return;
    go(index);
    viewer.scrollIntoView({ block: "start" });
  };
  addEventListener("hashchange", follow);

  show(0);
  viewer.classList.add("ready");
  follow();
}
