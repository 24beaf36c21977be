"use strict";
/* Numbers as text and the order of layers, as in qdebug/vocabulary and qdebug/reporters/ranking.py. */
const layerNumbers = (() => {
  const { numbers: N, states: STATES, broken: BROKEN, harmless: HARMLESS } = layerVocabulary;
  const { value } = layerFilter;

  /* ---- numbers, as in qdebug/vocabulary/numbers.py ---- */
  const isNone = (stored) => stored === null || stored === undefined;
  const special = (x) => (Number.isNaN(x) ? N.undefined : x > 0 ? N.infinite : `-${N.infinite}`);
  const written = (write) => (stored) => {
    if (isNone(stored)) return N.none;
    const x = value(stored);
    return Number.isFinite(x) ? write(x) : special(x);
  };
  const toFixed = (x, digits) => x.toFixed(digits).replace(/^-(?=[0.]*$)/, "");
  const cut = (x, digits) => {
    const text = toFixed(x, digits);
    return Number(text) > x ? toFixed(Number(text) - 10 ** -digits, digits) : text;
  };
  const decibel = written((x) => toFixed(x, N.decibelDigits));
  const cosine = written((x) => {
    if (Number(x.toPrecision(N.storedDigits)) === 1) return "1";
    let digits = N.cosineDigits;
    while (Number(x.toFixed(digits)) === 1) digits += 1;
    return cut(x, digits);
  });
  const percent = written((x) => {
    const rounded = Number(x.toFixed(N.storedDigits));
    if (rounded === 0 || rounded === 1) return `${100 * rounded} %`;
    if (x > 0 && x < N.smallShare) return "<0.01 %";
    if (x > 1 - N.smallShare && x < 1) return ">99.99 %";
    const fromEnd = Math.min(x, 1 - x);
    return `${Number(toFixed(100 * x, fromEnd > 0 && fromEnd < 0.01 ? 2 : 1))} %`;
  });
  const general = written((x) => {
    const rounded = Number(x.toPrecision(N.digits));
    const [low, high] = N.positional;
    const size = Math.abs(rounded);
    if (rounded === 0) return "0";
    return size >= low && size < high ? String(rounded) : rounded.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
  });
  const FORMS = { decibel, cosine, number: general };
  const visible = (text) =>
    String(text).replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (c) => {
      const named = { "\n": "\\n", "\r": "\\r", "\t": "\\t" }[c];
      const code = c.codePointAt(0);
      return named || (code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`);
    });

  /* ---- ranking, as in qdebug/reporters/ranking.py ---- */
  const field = (name) => (layer) => layerFilter.FIELDS[name].get(layer, new Map());
  const level = (stored) => (isNone(stored) || Number.isNaN(value(stored)) ? Infinity : value(stored));
  const namedLayers = (findings) => {
    const named = new Map();
    for (const { slug, status, layers } of findings) {
      if (status !== "fail" || layerVocabulary.effects.includes(slug)) continue;
      for (const index of layers.slice(0, layerVocabulary.mostNamed)) if (!named.has(index)) named.set(index, [named.size, slug]);
    }
    return named;
  };
  const severity = (layer, named) => {
    if (named.has(layer.index)) return [0, named.get(layer.index)[0]];
    const accumulated = level(field("sqnr")(layer));
    if (BROKEN.includes(layer.state)) return [1, accumulated];
    if (HARMLESS.includes(layer.state)) return [4, accumulated];
    if (layer.role !== "source") return [3, accumulated];
    const local = field("local")(layer);
    return [2, isNone(local) || Number.isNaN(value(local)) ? accumulated : value(local)];
  };
  const mark = (layer, limit, named) => {
    if (BROKEN.includes(layer.state)) return ["\u2717", "broken"];
    if (layer.role === "source") return ["\u2717", "source"];
    if (named.has(layer.index)) return ["\u2717", named.get(layer.index)[1]];
    if (layer.role === "victim") return ["!", "victim"];
    const sqnr = field("sqnr")(layer);
    if (layer.state === "ok" && !isNone(sqnr) && !(value(sqnr) >= limit)) return ["!", "below limit"];
    return ["ok", "identical"].includes(layer.state) ? ["\u2713", "ok"] : ["\u00b7", "no verdict"];
  };
  const compareNumbers = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
  const bySeverity = (a, b) => compareNumbers(a.rank[0], b.rank[0]) || compareNumbers(a.rank[1], b.rank[1]) || a.layer.index - b.layer.index;

  return { isNone, decibel, percent, FORMS, visible, STATES, field, namedLayers, severity, mark, compareNumbers, bySeverity };
})();
