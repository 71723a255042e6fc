// The page's own components. Each is a gr.HTML whose element this file fills. Values come from views.py; events go to
// people_tab.py by name. Text is set as text, never as HTML: file names come from visitors.
"use strict";
window.scm = (() => {
  const NARROW = "(max-width: 760px)";
  const SVG = "http://www.w3.org/2000/svg";
  const DRAG_FROM = 6; // pixels that the pointer moves before a click becomes a drag
  const narrow = () => window.matchMedia(NARROW).matches;
  const byId = (id) => document.getElementById(id);

  function make(tag, attributes = {}, ...children) {
    const node = tag.startsWith("svg:") ? document.createElementNS(SVG, tag.slice(4)) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
    return node;
  }

  const ready = (component) => component.element.setAttribute("data-ready", "");

  // ---- progress and errors ---------------------------------------------------------------------------------------

  let since = 0, ticking = null, follow = false;

  function busy(text) {
    const box = byId("busy");
    if (!box) return;
    if (!ticking) {
      since = Date.now();
      ticking = setInterval(tick, 500);
    }
    box.querySelector("b").textContent = text;
    tick();
    show(true);
  }

  function show(waits) {
    for (const name of ["cards", "peek"]) byId(name)?.classList.toggle("scm-busy", waits);
  }

  function tick() {
    const seconds = Math.floor((Date.now() - since) / 1000);
    const clock = document.querySelector("#busy i");
    if (clock) clock.textContent = seconds ? `${seconds} s` : "";
  }

  function idle() {
    clearInterval(ticking);
    ticking = null;
    show(false);
  }

  function toast(at, text) {
    const place = byId(at) || document.body;
    place.querySelectorAll(".scm-toast").forEach((old) => old.remove());
    const close = make("button", { type: "button", "aria-label": "Close", onclick: () => box.remove() }, "×");
    const box = make("div", { class: "scm-toast", role: "alert" }, make("span", {}, text), close);
    place.append(box);
    const { top, bottom } = box.getBoundingClientRect();
    if (top < 0 || bottom > innerHeight) box.scrollIntoView({ block: "center", behavior: "smooth" });
    setTimeout(() => box.remove(), 15000);
  }

  function notice(component) {
    const { props, watch } = component;
    watch("value", () => {
      const { state, text, at } = props.value || {};
      if (state === "busy") return busy(text);
      idle();
      if (state === "error") return toast(at, text);
      document.querySelectorAll(".scm-toast").forEach((old) => old.remove());
      if (follow && narrow()) byId("picture")?.scrollIntoView({ block: "nearest", behavior: "smooth" });
      follow = false;
    });
    // Gradio's own errors, such as a full queue or a stopped server, end the wait too.
    new MutationObserver(() => {
      if (document.querySelector(".toast-body.error, .toast-body .error")) idle();
    }).observe(document.body, { childList: true, subtree: true });
    ready(component);
  }

  // ---- photos ----------------------------------------------------------------------------------------------------

  function send(target, file, at, limit) {
    if (!file) return;
    if (limit && file.size > limit) {
      const size = (file.size / 2 ** 20).toFixed(1);
      return toast(at, `${file.name} is ${size} MB; the limit is ${Math.round(limit / 2 ** 19) / 2} MB. Make the picture smaller.`);
    }
    const input = document.querySelector(`#${target} input[type=file]`);
    if (!input) return toast(at, "The page is not ready yet; try again in a moment.");
    const files = new DataTransfer();
    files.items.add(file);
    input.files = files.files;
    busy(`Uploading ${file.name}`);
    follow = true;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }

  function skeleton(limbs, joints, width, height, more = {}, thick = Math.max(width, height) / 130) {
    const drawn = make("svg:svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "xMidYMid meet", ...more });
    for (const [a, b, colour] of limbs) {
      if (!joints[a] || !joints[b]) continue;
      drawn.append(make("svg:line", {
        x1: joints[a][0], y1: joints[a][1], x2: joints[b][0], y2: joints[b][1],
        stroke: colour, "stroke-width": 1.6 * thick, "stroke-linecap": "round",
      }));
    }
    for (const joint of joints) {
      if (joint) drawn.append(make("svg:circle", { cx: joint[0], cy: joint[1], r: 1.2 * thick, fill: "#222" }));
    }
    return drawn;
  }

  // A photo slot: drop, choose or paste a photo; then it shows the photo, with joints and regions drawn over it on request.
  function photoPlace({ target, at, limit, prompt, limbs, extra }) {
    const input = make("input", { type: "file", accept: "image/*", class: "scm-file", "aria-label": prompt });
    input.addEventListener("change", () => {
      send(target, input.files[0], at, limit);
      input.value = "";
    });
    const choose = () => input.click();
    const drop = make("button", { type: "button", class: "scm-drop", onclick: choose },
      make("span", { class: "scm-plus", "aria-hidden": "true" }, "+"), make("span", {}, prompt));
    const image = make("img", { alt: "The photo" });
    const regions = make("img", { alt: "", class: "scm-regions" });
    const joints = make("div", { class: "scm-joints" });
    const legend = make("div", { class: "scm-legend" });
    const frame = make("div", { class: "scm-frame" }, image, regions, joints);
    const shown = { joints: true, regions: false };
    const switches = Object.keys(shown).map((what) => make("button", {
      type: "button", class: "scm-switch", "aria-pressed": String(shown[what]),
      onclick: (event) => {
        shown[what] = !shown[what];
        event.currentTarget.setAttribute("aria-pressed", String(shown[what]));
        apply();
      },
    }, what === "joints" ? "Joints" : "Regions"));
    const another = make("button", { type: "button", class: "scm-quiet", onclick: choose }, "Change photo");
    const tools = make("div", { class: "scm-tools" }, make("span", { class: "scm-label" }, "Show"), ...switches, another);
    const view = make("div", { class: "scm-photo", hidden: true }, frame, make("div", { class: "scm-side" }, tools, legend));
    const node = make("div", { class: "scm-place" }, input, drop, view, extra || null);

    function apply() {
      joints.hidden = !shown.joints;
      regions.hidden = !shown.regions;
      legend.hidden = !shown.regions;
    }
    for (const kind of ["dragenter", "dragover"]) {
      node.addEventListener(kind, (event) => {
        event.preventDefault();
        node.classList.add("scm-over");
      });
    }
    for (const kind of ["dragleave", "drop"]) node.addEventListener(kind, () => node.classList.remove("scm-over"));
    node.addEventListener("drop", (event) => {
      event.preventDefault();
      send(target, event.dataTransfer.files[0], at, limit);
    });
    let last = null;
    function show(photo) {
      const key = JSON.stringify(photo);
      if (key === last) return;
      last = key;
      drop.hidden = Boolean(photo);
      view.hidden = !photo;
      if (!photo) return;
      image.src = photo.image;
      regions.src = photo.regions;
      frame.style.aspectRatio = `${photo.width} / ${photo.height}`;
      frame.style.setProperty("--shape", photo.width / photo.height);
      joints.replaceChildren(skeleton(limbs, photo.joints, photo.width, photo.height));
      legend.replaceChildren(...photo.legend.map(({ name, colour }) =>
        make("span", {}, make("i", { style: `background: ${colour}` }), name)));
      apply();
    }
    return { node, show, choose };
  }

  function photo(component) {
    const { element, props, trigger, watch } = component;
    const examples = (props.examples || []).map(({ title, image }, number) =>
      make("button", { type: "button", title, "aria-label": `Example: ${title}`, onclick: () => {
        busy("Opening the example");
        follow = true;
        trigger("example", { number });
      } }, make("img", { src: image, alt: "" })));
    const strip = make("div", { class: "scm-examples" }, make("span", { class: "scm-label" }, "Examples"), ...examples);
    const place = photoPlace({
      target: "photo-upload", at: "card-photo", limit: props.limit, limbs: props.skeleton.limbs,
      prompt: "Drop a photo here, paste one, or click to choose", extra: strip,
    });
    element.replaceChildren(place.node);
    document.addEventListener("paste", (event) => {
      const file = [...(event.clipboardData?.files || [])].find(({ type }) => type.startsWith("image/"));
      if (file) send("photo-upload", file, "card-photo", props.limit);
    });
    const update = () => place.show(props.value);
    watch("value", update);
    update();
    ready(component);
  }

  // ---- poses -----------------------------------------------------------------------------------------------------

  function tabs(names, panels, chosen = 0) {
    const buttons = names.map((name, number) => make("button", {
      type: "button", role: "tab", onclick: () => open(number),
    }, name));
    function open(number) {
      buttons.forEach((button, other) => button.setAttribute("aria-selected", String(other === number)));
      panels.forEach((panel, other) => { panel.hidden = other !== number; });
    }
    open(chosen);
    return { bar: make("div", { class: "scm-tabs", role: "tablist" }, ...buttons), open };
  }

  function pose(component) {
    const { element, props, trigger, watch } = component;
    const { limbs, joints: names } = props.skeleton;
    const now = make("p", { class: "scm-now" });
    const cards = props.poses.map(({ name, joints, width, height }, number) => make("button", {
      type: "button", class: "scm-card", "aria-pressed": "false", onclick: () => {
        busy(`Generating the pose “${name}”`);
        follow = true;
        trigger("pick", { number });
      },
    }, thumbnail(joints, width, height), make("span", {}, name)));
    const library = make("div", { class: "scm-library" }, ...cards);
    const own = make("button", { type: "button", class: "scm-quiet", onclick: () => {
      busy("Using your photo's own pose");
      follow = true;
      trigger("own");
    } }, "Use my own photo's pose");
    const place = photoPlace({
      target: "pose-upload", at: "card-pose", limit: props.limit, limbs,
      prompt: "A photo of anyone in the pose you want", extra: make("div", { class: "scm-row" }, own),
    });
    const editor = poseEditor(limbs, names, trigger);
    const panels = [library, place.node, editor.node].map((node) => make("div", { role: "tabpanel" }, node));
    const { bar } = tabs(["Library", "From a photo", "Edit by hand"], panels);
    element.replaceChildren(now, bar, ...panels);

    function thumbnail(places, width, height) {
      const known = places.filter(Boolean), rim = height / 16;
      const ends = (axis) => [Math.min(...known.map((at) => at[axis])) - rim, Math.max(...known.map((at) => at[axis])) + rim];
      const [[left, right], [top, bottom]] = [ends(0), ends(1)];
      return skeleton(limbs, places, width, height, {
        viewBox: `${left} ${top} ${right - left} ${bottom - top}`, "aria-hidden": "true",
      }, (bottom - top) / 70);
    }
    function update(first) {
      const { pose: chosen, number, photo: given } = props.value;
      now.replaceChildren("Pose: ", make("b", {}, chosen.name));
      cards.forEach((card, other) => card.setAttribute("aria-pressed", String(other === number)));
      if (first || !narrow()) {
        const card = cards[number];
        if (card && library.offsetParent) library.scrollTo({ top: card.offsetTop - library.clientHeight / 3, left: card.offsetLeft - library.clientWidth / 3 });
      }
      place.show(given);
      editor.show(chosen);
    }
    watch("value", () => update(false));
    update(true);
    ready(component);
  }

  // The pose editor: drag joints on the canvas; every change can be undone.
  function poseEditor(limbs, names, trigger) {
    let joints = [], size = [1, 1], chosen = null, history = [], dragged = null, mirroring = false;
    const canvas = make("svg:svg", { class: "scm-editor", role: "application", "aria-label": "Pose; drag its joints to move them" });
    const status = make("p", { class: "scm-hint" });
    const absent = make("div", { class: "scm-row" });
    const button = (text, act) => make("button", { type: "button", class: "scm-quiet", onclick: act }, text);
    const undo = button("Undo", () => {
      joints = history.pop();
      commit(false);
    });
    const mirror = button("Mirror", () => {
      history.push(joints);
      mirroring = true;
      busy("Mirroring the pose");
      trigger("mirror");
    });
    const remove = button("Remove joint", () => {
      if (chosen === null || joints.filter(Boolean).length < 2) return;
      change(chosen, null);
    });
    const node = make("div", { class: "scm-hand" }, canvas, make("div", { class: "scm-controls" }, status,
      make("div", { class: "scm-row" }, undo, mirror, remove), absent));

    function change(joint, place) {
      history.push(joints);
      joints = joints.map((old, other) => (other === joint ? place : old));
      if (place === null) chosen = null;
      commit(true);
    }
    function commit() {
      paint();
      busy("Generating your pose");
      trigger("moved", { joints });
    }
    function toCanvas(event) {
      const box = canvas.getBoundingClientRect();
      const scale = Math.min(box.width / size[0], box.height / size[1]);
      const left = box.left + (box.width - scale * size[0]) / 2, top = box.top + (box.height - scale * size[1]) / 2;
      const clip = (value, most) => Math.round(10 * Math.min(Math.max(value, 0), most - 1)) / 10;
      return [clip((event.clientX - left) / scale, size[0]), clip((event.clientY - top) / scale, size[1])];
    }
    function nearest([x, y]) {
      let best = null, least = 0.09 * size[1];
      joints.forEach((joint, number) => {
        const away = joint ? Math.hypot(joint[0] - x, joint[1] - y) : Infinity;
        if (away < least) [best, least] = [number, away];
      });
      return best;
    }
    canvas.addEventListener("pointerdown", (event) => {
      const place = toCanvas(event);
      chosen = nearest(place);
      if (chosen === null) return paint();
      event.preventDefault();
      canvas.setPointerCapture(event.pointerId);
      dragged = { before: joints, moved: false, from: place };
      paint();
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!dragged) return;
      const place = toCanvas(event);
      if (!dragged.moved && Math.hypot(place[0] - dragged.from[0], place[1] - dragged.from[1]) < 0.008 * size[1]) return;
      dragged.moved = true;
      joints = joints.map((old, other) => (other === chosen ? place : old));
      paint();
    });
    const drop = () => {
      if (!dragged) return;
      const { before, moved } = dragged;
      dragged = null;
      if (!moved) return;
      history.push(before);
      commit();
    };
    canvas.addEventListener("pointerup", drop);
    canvas.addEventListener("pointercancel", drop);
    function paint() {
      canvas.setAttribute("viewBox", `0 0 ${size[0]} ${size[1]}`);
      const drawn = skeleton(limbs, joints, size[0], size[1]);
      const grips = joints.map((joint, number) => joint && make("svg:circle", {
        cx: joint[0], cy: joint[1], r: size[1] / 40, "data-joint": number, tabindex: "0", "aria-label": names[number],
        class: number === chosen ? "scm-grip scm-chosen" : "scm-grip",
        onfocus: () => {
          if (chosen === number) return;
          chosen = number;
          canvas.querySelectorAll(".scm-chosen").forEach((old) => old.classList.remove("scm-chosen"));
          canvas.querySelector(`[data-joint="${number}"]`)?.classList.add("scm-chosen");
          describe();
        },
        onkeydown: (event) => nudge(event, number),
      }, make("svg:title", {}, names[number]))).filter(Boolean);
      canvas.replaceChildren(...drawn.childNodes, ...grips);
      describe();
    }
    function nudge(event, number) {
      const step = size[1] / 64;
      const by = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
      if (!by) return;
      event.preventDefault();
      const clip = (value, most) => Math.min(Math.max(value, 0), most - 1);
      change(number, [clip(joints[number][0] + by[0], size[0]), clip(joints[number][1] + by[1], size[1])]);
      canvas.querySelector(`[data-joint="${number}"]`)?.focus();
    }
    function describe() {
      status.textContent = chosen === null ? "Drag a joint to move it." : `Selected: ${names[chosen]}. Drag it, or use the arrow keys.`;
      undo.disabled = !history.length;
      remove.disabled = chosen === null;
      const missing = names.map((name, number) => [name, number]).filter(([, number]) => !joints[number]);
      absent.replaceChildren(...(missing.length ? [make("span", { class: "scm-label" }, "Add:")] : []),
        ...missing.map(([name, number]) => button(name, () => {
          chosen = number;
          change(number, [size[0] / 2, size[1] / 2]);
        })));
    }
    // The server's answer to a change by hand is shown already; showing it again would undo later changes.
    function show({ joints: given, width, height, name }) {
      const same = name.endsWith("by hand") && !mirroring;
      size = [width, height];
      if (same && joints.length) return;
      if (!mirroring) history = [];
      mirroring = false;
      joints = given;
      chosen = null;
      paint();
    }
    return { node, show };
  }

  // ---- clothes ---------------------------------------------------------------------------------------------------

  function clothes(component) {
    const { element, props, trigger, watch } = component;
    const worn = new Map(); // kind -> garment
    let regions = [], reference = null;
    const wornNames = make("span", { class: "scm-worn" });
    const clear = make("button", { type: "button", class: "scm-quiet", onclick: (event) => {
      event.preventDefault();
      worn.clear();
      regions = [];
      change("Restoring the photo's own clothes");
    } }, "Remove all");
    const chips = make("div", { class: "scm-row" });
    const place = photoPlace({
      target: "reference-upload", at: "card-clothes", limit: props.limit, limbs: props.skeleton.limbs,
      prompt: "A photo of someone wearing the clothes you want", extra: chips,
    });
    const buttons = new Map();
    const shelves = props.wardrobe.map(({ kind, title, garments }) => make("div", { class: "scm-shelf" },
      ...garments.map((garment) => {
        const card = make("button", { type: "button", class: "scm-card", "aria-pressed": "false", onclick: () => {
          if (worn.get(kind)?.name === garment.name) worn.delete(kind);
          else worn.set(kind, garment);
          change(worn.has(kind) ? `Putting on “${garment.title}”` : `Taking off “${garment.title}”`);
        } }, make("img", { src: garment.image, alt: "", loading: "lazy" }), make("span", {}, garment.title));
        buttons.set(garment.name, [card, kind]);
        return card;
      })));
    const panels = [...shelves, place.node].map((node) => make("div", { role: "tabpanel" }, node));
    const { bar } = tabs([...props.wardrobe.map(({ title, garments }) => `${title} ${garments.length}`), "From a photo"], panels);
    const box = make("details", { class: "scm-clothes" },
      make("summary", {}, make("span", { class: "scm-title" }, "Other clothes"), wornNames, clear), bar, ...panels);
    element.replaceChildren(box);

    function change(text) {
      mark();
      busy(text);
      trigger("wear", { regions, garments: [...worn.values()].map(({ name }) => name) });
    }
    function mark() {
      for (const [name, [card, kind]] of buttons) card.setAttribute("aria-pressed", String(worn.get(kind)?.name === name));
      for (const chip of chips.querySelectorAll("[data-region]")) chip.setAttribute("aria-pressed", String(regions.includes(chip.dataset.region)));
      const names = [...[...worn.values()].map(({ title }) => title), ...regions.map((name) => `${name} from the photo`)];
      wornNames.textContent = names.length ? names.join(", ") : "optional: from the wardrobe or another photo";
      clear.hidden = !names.length;
    }
    function update() {
      const { photo: given, regions: taken } = props.value;
      place.show(given);
      const key = JSON.stringify(given);
      if (key !== reference) {
        reference = key;
        regions = [...taken];
        chips.replaceChildren(...(given ? [make("span", { class: "scm-label" }, "Take"), ...given.legend.map(({ name }) =>
          make("button", { type: "button", class: "scm-switch", "data-region": name, onclick: () => {
            regions = regions.includes(name) ? regions.filter((other) => other !== name) : [...regions, name];
            change(regions.includes(name) ? `Taking ${name} from the photo` : `Restoring the original ${name}`);
          } }, name))] : []));
      }
      mark();
    }
    watch("value", update);
    update();
    ready(component);
  }

  // ---- the result ------------------------------------------------------------------------------------------------

  function result(component) {
    const { element, props, trigger, watch } = component;
    const after = make("img", { alt: "The generated picture", class: "scm-after", draggable: "false" });
    const before = make("img", { alt: "", class: "scm-before", draggable: "false" });
    const seam = make("div", { class: "scm-seam" });
    const point = make("div", { class: "scm-point", hidden: true });
    const labels = [make("span", { class: "scm-tag scm-left" }, "photo"), make("span", { class: "scm-tag scm-right" }, "result")];
    const picture = make("div", { class: "scm-picture" }, after, before, seam, point, ...labels);
    const empty = make("div", { class: "scm-empty" }, make("p", {}, "Your picture appears here."),
      make("p", {}, "Choose a photo, or click an example, to begin."));
    const waiting = make("div", { id: "busy", role: "status", "aria-live": "polite" },
      make("span", { class: "scm-spinner" }), make("b"), make("i"));
    const stage = make("div", { id: "picture" }, empty, picture, waiting);
    const range = make("input", { type: "range", min: "0", max: "100", value: "0", "aria-label": "Show more of the photo" });
    const slider = make("label", { class: "scm-slider" }, make("span", {}, "result"), range, make("span", {}, "photo"));
    const size = make("span", { class: "scm-size" });
    const save = (what, kind, text, strong) => make("button", {
      type: "button", class: strong ? "scm-strong" : "scm-quiet", "data-save": `${what}-${kind}`,
      onclick: () => trigger("save", { what, kind }),
    }, text);
    const learn = make("button", { type: "button", class: "scm-quiet", "data-learn": "", onclick: () => {
      busy("Learning this person: waiting in the queue");
      trigger("learn", {});
    } });
    const mark = make("input", { type: "checkbox", checked: true, onchange: () => trigger("marked", { on: mark.checked }) });
    const limbs = make("input", { type: "checkbox", checked: true, "data-limbs": "", onchange: () => {
      busy("Generating");
      trigger("limbs", { on: limbs.checked });
    } });
    const removed = make("p", { class: "scm-hint" });
    const invented = make("p", { class: "scm-hint" });
    const hint = make("p", { class: "scm-hint" }, "Click a point in the result to see which parts of the photo it comes from.");
    const below = make("div", { class: "scm-below", hidden: true }, slider,
      make("div", { class: "scm-row" }, save("picture", "PNG", "Download PNG", true), save("picture", "JPEG", "JPEG"), save("strip", "PNG", "Strip"), size),
      make("div", { class: "scm-row" }, learn),
      make("label", { class: "scm-check" }, mark, "Add a visible mark: AI-generated"),
      make("label", { class: "scm-check", hidden: !props.mirrors_limbs }, limbs,
        "Draw an arm or a leg that the photo hardly shows like the other one"), removed, invented, hint);
    element.replaceChildren(stage, below);
    const peek = make("button", { type: "button", id: "peek", hidden: true, "aria-label": "Show the result", onclick: () =>
      stage.scrollIntoView({ block: "center", behavior: "smooth" }) }, make("img", { alt: "" }), make("span", { class: "scm-spinner" }));
    document.body.append(peek);

    function slide(share) {
      range.value = String(Math.round(100 * share));
      picture.style.setProperty("--seam", `${100 * share}%`);
      picture.classList.toggle("scm-split", share > 0);
    }
    range.addEventListener("input", () => slide(range.value / 100));
    let pressed = null;
    const across = (event) => {
      const box = after.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    };
    picture.addEventListener("pointerdown", (event) => {
      pressed = { x: event.clientX, y: event.clientY, slides: false };
      picture.setPointerCapture(event.pointerId);
    });
    picture.addEventListener("pointermove", (event) => {
      if (!pressed) return;
      if (Math.abs(event.clientX - pressed.x) > DRAG_FROM) pressed.slides = true;
      if (pressed.slides) slide(Math.min(Math.max(across(event)[0], 0), 1));
    });
    picture.addEventListener("pointercancel", () => { pressed = null; });
    picture.addEventListener("pointerup", (event) => {
      const slid = !pressed || pressed.slides || Math.abs(event.clientY - pressed.y) > DRAG_FROM;
      pressed = null;
      const [x, y] = across(event);
      if (slid || x < 0 || y < 0 || x > 1 || y > 1) return;
      point.style.left = `${100 * x}%`;
      point.style.top = `${100 * y}%`;
      point.hidden = false;
      busy("Tracing the point");
      trigger("trace", { across: x, down: y });
    });

    let visible = true;
    new IntersectionObserver(([entry]) => {
      visible = entry.intersectionRatio > 0.4;
      peek.hidden = visible || !props.value || !narrow();
    }, { threshold: [0, 0.4, 0.8] }).observe(stage);

    let shown = null;
    function update() {
      const value = props.value;
      empty.hidden = Boolean(value);
      picture.hidden = !value;
      below.hidden = !value;
      if (!value) return;
      after.src = value.image;
      before.src = value.before;
      peek.querySelector("img").src = value.image;
      peek.hidden = visible || !narrow();
      picture.style.aspectRatio = `${value.width} / ${value.height}`;
      picture.style.setProperty("--shape", value.width / value.height);
      size.textContent = `${value.width} × ${value.height}`;
      mark.checked = value.mark;
      limbs.checked = value.mirrored_limbs;
      learn.disabled = value.learned;
      learn.textContent = value.learned ? "The model has learned this person" : "Learn this person (about a minute)";
      after.alt = `The generated picture, in the pose ${value.pose}`;
      removed.textContent = value.removed.length ? `Removed, since it does not go with the new clothes: ${value.removed.join(", ")}.` : "";
      removed.hidden = !value.removed.length;
      invented.textContent = value.not_shown.length ? `In your photo ${value.not_shown.join("; ")}.` : "";
      invented.hidden = !value.not_shown.length;
      if (shown !== value.serial) {
        shown = value.serial;
        point.hidden = true;
        slide(0);
      }
    }
    watch("value", update);
    update();
    ready(component);
  }

  function origin(component) {
    const { element, props, watch } = component;
    const image = make("img", { alt: "Left: the result with the point. Right: the photo, bright where the point comes from" });
    const sentence = make("p", { class: "scm-hint" });
    const box = make("div", { class: "scm-origin" }, image, sentence);
    element.replaceChildren(box);
    function update() {
      const value = props.value;
      box.hidden = !value;
      if (!value) return;
      image.src = value.image;
      sentence.textContent = value.text;
    }
    watch("value", update);
    update();
    ready(component);
  }

  function file(component) {
    const { props, watch } = component;
    watch("value", () => {
      const { name, data } = props.value || {};
      if (!data) return;
      const link = make("a", { href: data, download: name });
      document.body.append(link);
      link.click();
      link.remove();
    });
    ready(component);
  }

  return { notice, photo, pose, clothes, result, origin, file };
})();
