"use strict";
/* Upgrades a page that is complete without it: all layers, sorting, filtering, links, copying. */
(() => {
  const CHUNK = 150;
  const byId = (id) => document.getElementById(id);
  const { value } = layerFilter;
  const { isNone, decibel, percent, FORMS, visible, STATES, field, namedLayers, severity, mark, compareNumbers, bySeverity } = layerNumbers;

  const make = (tag, options = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [key, item] of Object.entries(options)) {
      if (key in element) element[key] = item;
      else element.setAttribute(key, item);
    }
    element.append(...children);
    return element;
  };

  /* ---- the embedded run ---- */
  const bytesOf = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const readRun = async () => {
    const stream = new Blob([bytesOf(byId("qdebug-run").textContent.trim())]).stream();
    return new Response(stream.pipeThrough(new DecompressionStream("gzip"))).text();
  };

  /* ---- links to layers ---- */
  const link = (layer) => make("a", { className: "layer-link", href: `#layer-${layer.index}` }, `#${layer.index}`);
  const nameOf = (layer) => make("bdi", { className: "name" }, visible(layer.name));
  const row = (heading, ...cells) =>
    make("tr", {}, make("th", { scope: "row" }, heading), ...cells.map((cell) => make("td", { className: "number" }, cell)));
  /* A run written before a metric existed does not have it. */
  const measured = (run) => {
    const parts = [...run.layers, ...run.outputs].map((item) => item.accumulated).filter((part) => part);
    return layerVocabulary.metrics.filter(({ name }) => parts.some((part) => !isNone(part[name])));
  };
  const cardFor = (entry, run) => {
    const { layer } = entry;
    const parts = [layer.accumulated, layer.local];
    const metrics = measured(run).map(({ heading, name, form }) => row(heading, ...parts.map((part) => FORMS[form](part && part[name]))));
    const facts = [
      ["state", layer.reason ? `${STATES[layer.state]}: ${layer.reason}` : STATES[layer.state]],
      ["float tensor", layer.float_tensor], ["quant tensor", layer.quant_tensor], ["paired by", layer.paired_by],
      ["shape", layer.shape.join("\u00d7")], ["sensitivity, dB", layer.sensitivity && decibel(layer.sensitivity.sqnr_db)],
      ["board against simulation, dB", layer.board && decibel(field("board")(layer))],
      ["board, own error, dB", layer.board && decibel(field("bown")(layer))], ["on the board", layer.board && (layer.board.reason || null)],
      ["data type", layer.quant && layer.quant.dtype], ["values clipped", percent(layer.clipped)],
      ["codes used", layer.codes_used], ["worst sample", layer.worst_sample],
    ].filter(([, item]) => !isNone(item)).map(([title, item]) => row(title, visible(item)));
    const near = (indices) => indices.filter((i) => run.layers[i]).flatMap((i) => [link(run.layers[i]), " "]);
    return make("div", { className: "card", id: `layer-${layer.index}`, tabIndex: -1 },
      make("h3", {}, `${entry.mark.join(" ")} #${layer.index} `, nameOf(layer), ` ${visible(layer.op)}`),
      make("div", { className: "card-body" },
        make("table", {}, make("thead", {}, make("tr", {}, ...["metric", "accumulated", "local"].map((t) => make("th", { scope: "col" }, t)))), make("tbody", {}, ...metrics)),
        make("table", { className: "pairs" }, make("tbody", {}, ...facts))),
      make("p", {}, "from ", ...near(layer.inputs), " to ", ...near(layer.outputs)));
  };
  const followHash = (entries, run) => {
    const found = /^#layer-(\d+)$/.exec(location.hash);
    const target = location.hash.length > 1 && byId(decodeURIComponent(location.hash.slice(1)));
    if (target) {
      for (let node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
      target.scrollIntoView();
    } else if (found && run && run.layers[Number(found[1])]) {
      const card = cardFor(entries.find((entry) => entry.layer.index === Number(found[1])), run);
      byId("extra-card").replaceChildren(card);
      card.scrollIntoView();
      card.focus({ preventScroll: true });
    }
  };

  /* ---- the layer table ---- */
  const lead = layerVocabulary.lead.slice(1);
  const LEVELS = ["sqnr", "local", "sens", "board"];
  const BIGGER_FIRST = ["clipped"];
  const rowFor = ({ layer, mark: [glyph, word] }) => {
    const cells = [layer.op, `${glyph} ${word}`].map((text) => make("td", {}, visible(text)));
    const metrics = lead.map(({ word, form }) => FORMS[form](field(word)(layer)));
    const levels = LEVELS.map((name) => decibel(field(name)(layer)));
    const numbers = [...levels, ...metrics, percent(layer.clipped), decibel(field("channel")(layer))].map((text) => make("td", { className: "number" }, text));
    return make("tr", { className: { "\u2717": "bad", "!": "warn" }[glyph] || "" }, make("td", { className: "number" }, link(layer)),
      make("th", { scope: "row" }, nameOf(layer)), ...cells, ...numbers, make("td", {}, STATES[layer.state]));
  };
  const comparator = (key, descending) => {
    if (key === "mark") return bySeverity;
    const get = field(key);
    const { numeric } = layerFilter.FIELDS[key];
    const sign = descending ? -1 : 1;
    return (a, b) => {
      const [left, right] = [get(a.layer), get(b.layer)];
      if (isNone(left) || isNone(right)) return isNone(left) - isNone(right) || a.layer.index - b.layer.index;
      const order = !numeric
        ? left.localeCompare(right) : compareNumbers(...[left, right].map((x) => (Number.isNaN(value(x)) ? -Infinity : value(x))));
      return sign * order || a.layer.index - b.layer.index;
    };
  };
  const upgradeTable = (run, entries) => {
    const table = byId("layer-table");
    const body = table.tBodies[0];
    const findings = layerFilter.findingsByLayer(run.findings);
    const state = { shown: entries, drawn: 0, key: null, descending: false };
    const count = byId("layer-count");
    const input = make("input", { type: "search", id: "layer-filter", spellcheck: false, autocomplete: "off", placeholder: "op:Conv sqnr<20 !role:victim name~cv2" });
    const error = make("span", { className: "filter-error", role: "status" });
    const more = () => {
      const next = state.shown.slice(state.drawn, state.drawn + CHUNK);
      state.drawn += next.length;
      body.append(...next.map(rowFor));
    };
    const draw = () => {
      body.replaceChildren();
      state.drawn = 0;
      more();
      count.textContent = `${state.shown.length} of ${entries.length} layers`;
    };
    const apply = () => {
      try {
        const test = layerFilter.parse(input.value);
        error.textContent = "";
        input.removeAttribute("aria-invalid");
        const kept = entries.filter((entry) => test(entry.layer, findings));
        state.shown = state.key ? kept.sort(comparator(state.key, state.descending)) : kept;
        draw();
      } catch (problem) {
        if (!(problem instanceof layerFilter.FilterError)) throw problem;
        error.textContent = problem.hint ? `${problem.message}; ${problem.hint}` : problem.message;
        input.setAttribute("aria-invalid", "true");
      }
    };
    for (const head of table.tHead.rows[0].cells) {
      const button = make("button", { type: "button" }, ...head.childNodes);
      button.addEventListener("click", () => {
        const key = head.dataset.key;
        state.descending = state.key === key ? !state.descending : BIGGER_FIRST.includes(key);
        state.key = key;
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
        apply();
      });
      head.replaceChildren(button);
    }
    input.addEventListener("input", apply);
    const label = make("label", { htmlFor: "layer-filter" }, "Filter ");
    count.after(make("div", { className: "filter" }, label, input, error));
    const box = table.parentElement;
    box.addEventListener("scroll", () => {
      if (box.scrollTop + box.clientHeight > box.scrollHeight - 600) more();
    }, { passive: true });
    window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => { d.open = true; }));
    document.addEventListener("keydown", (event) => {
      const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
      if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
        event.preventDefault();
        input.focus();
      }
      if (event.key === "Escape" && event.target === input) {
        input.value = "";
        apply();
      }
    });
    draw();
  };

  /* ---- the figure: which layer is under the pointer ---- */
  const upgradeFigure = (run) => {
    const figure = document.querySelector("#network-figure svg");
    const readout = byId("network-readout");
    if (!figure || !run.layers.length) return;
    const [left, width, total] = [44, 1020, 1080];
    const at = (event) => {
      const frame = figure.getBoundingClientRect();
      const share = ((event.clientX - frame.left) / frame.width * total - left) / width;
      return run.layers[Math.round(Math.min(1, Math.max(0, share)) * (run.layers.length - 1))];
    };
    figure.addEventListener("pointermove", (event) => {
      const layer = at(event);
      readout.textContent = `#${layer.index} ${visible(layer.name)}: accumulated ${decibel(field("sqnr")(layer))}, local ${decibel(field("local")(layer))}, sensitivity ${decibel(field("sens")(layer))} dB`;
    });
    figure.addEventListener("click", (event) => { location.hash = `layer-${at(event).index}`; });
  };

  /* ---- the modules: which layer is under the pointer ---- */
  const NODE = 14;
  const nodesOf = (figure) =>
    [...figure.querySelectorAll("path[data-layers]")].flatMap((path) => {
      const indices = path.dataset.layers.split(" ").map(Number);
      return [...path.getAttribute("d").matchAll(/M(\d+) (\d+)/g)].map(([, x, y], i) => ({ index: indices[i], x: Number(x), y: Number(y) }));
    });
  const upgradeModules = (run) => {
    const readout = byId("module-readout");
    for (const figure of document.querySelectorAll("svg.module")) {
      const nodes = nodesOf(figure);
      const under = (event) => {
        const frame = figure.getBoundingClientRect();
        const scale = figure.viewBox.baseVal.width / frame.width;
        const [x, y] = [(event.clientX - frame.left) * scale, (event.clientY - frame.top) * scale];
        const node = nodes.find((one) => x >= one.x && x <= one.x + NODE && y >= one.y && y <= one.y + NODE);
        return node && run.layers[node.index];
      };
      const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
      figure.prepend(title);
      figure.addEventListener("pointermove", (event) => {
        const layer = under(event);
        figure.classList.toggle("over", Boolean(layer));
        title.textContent = layer ? `#${layer.index} ${visible(layer.name)} ${visible(layer.op)}: accumulated ${decibel(field("sqnr")(layer))}, local ${decibel(field("local")(layer))} dB` : "";
        readout.textContent = title.textContent;
      });
      figure.addEventListener("click", (event) => {
        const layer = under(event);
        if (layer) location.hash = `layer-${layer.index}`;
      });
    }
  };

  /* ---- buttons ---- */
  const copyCode = () => {
    if (!navigator.clipboard) return;
    for (const block of document.querySelectorAll("pre")) {
      const button = make("button", { type: "button", className: "copy", title: "Copy this code" }, "Copy");
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(block.textContent);
        button.textContent = "Copied";
      });
      const frame = make("div", { className: "coded" });
      block.replaceWith(frame);
      frame.append(block, button);
    }
  };
  const markdownOf = (finding) =>
    [`**${finding.id} ${finding.slug}**: ${finding.title}`, "", `- seen: ${finding.seen}`, finding.advice && `- do: ${finding.advice}`]
      .filter((line) => line !== "").join("\n");
  const addButtons = (run, text) => {
    const byAnchor = new Map(run.findings.map((finding) => [finding.id, finding]));
    for (const block of document.querySelectorAll("article.finding")) {
      const finding = byAnchor.get(block.id);
      if (!finding || !navigator.clipboard) continue;
      const button = make("button", { type: "button", className: "copy", title: "Copy this finding as Markdown" }, "Copy");
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(markdownOf(finding));
        button.textContent = "Copied";
      });
      block.prepend(button);
    }
    const save = make("button", { type: "button" }, "Save run.json");
    save.addEventListener("click", () => {
      const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
      make("a", { href: url, download: "run.json" }).click();
      URL.revokeObjectURL(url);
    });
    const theme = make("button", { type: "button" }, "Light / dark");
    theme.addEventListener("click", () => {
      const root = document.documentElement;
      const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
    });
    document.querySelector("nav ul").append(make("li", { className: "tools" }, theme, save));
  };

  const start = async () => {
    copyCode();
    followHash([], null);
    if (typeof DecompressionStream === "undefined") return;
    const text = await readRun();
    const run = JSON.parse(text);
    const found = run.verdict.limits.find((limit) => limit.metric === "sqnr_db");
    const limit = found ? value(found.value) : layerVocabulary.defaultLimit;
    const named = namedLayers(run.findings);
    const entries = run.layers.map((layer) => ({ layer, mark: mark(layer, limit, named), rank: severity(layer, named) })).sort(bySeverity);
    addButtons(run, text);
    if (entries.length) upgradeTable(run, entries);
    upgradeFigure(run);
    upgradeModules(run);
    window.addEventListener("hashchange", () => followHash(entries, run));
    followHash(entries, run);
    document.documentElement.dataset.ready = String(Math.round(performance.now()));
  };
  start();
})();
