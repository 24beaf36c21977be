"use strict";
/* Numbers as text and the order of layers, as in qdebug/reporters/text.py and ranking.py. */
const layerNumbers = (() => {
  const NONE = "\u2014";
  const { value } = layerFilter;

  /* ---- numbers, as in qdebug/reporters/text.py ---- */
  const isNone = (stored) => stored === null || stored === undefined;
  const special = (x) => (Number.isNaN(x) ? "NaN" : x > 0 ? "\u221e" : "-\u221e");
  const decibel = (stored) => {
    if (isNone(stored)) return NONE;
    const x = value(stored);
    return Number.isFinite(x) ? x.toFixed(1).replace("-0.0", "0.0") : special(x);
  };
  const cosine = (stored) => {
    if (isNone(stored)) return NONE;
    const x = value(stored);
    if (!Number.isFinite(x)) return special(x);
    for (let digits = 4; digits < 9 && x !== 1; digits += 1) {
      const text = x.toFixed(digits);
      if (Number(text) !== 1) return text;
    }
    return "1";
  };
  const percent = (stored) => {
    if (isNone(stored)) return NONE;
    const x = value(stored);
    if (!Number.isFinite(x)) return special(x);
    if (x === 0) return "0 %";
    if (Math.abs(x - 1) < 5e-10) return "100 %";
    if (x < 0.0001) return "<0.01 %";
    return `${(100 * x).toFixed(x < 0.01 ? 2 : 1)} %`;
  };
  const general = (stored) => {
    if (isNone(stored)) return NONE;
    const x = value(stored);
    return Number.isFinite(x) ? String(Number(x.toPrecision(4))) : special(x);
  };
  const visible = (text) =>
    String(text).replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (c) => {
      const named = { "\n": "\\n", "\r": "\\r", "\t": "\\t" }[c];
      const code = c.codePointAt(0);
      return named || (code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`);
    });

  /* ---- ranking, as in qdebug/reporters/ranking.py ---- */
  const BROKEN = ["nonfinite", "zero_quant", "zero_float"];
  const HARMLESS = ["identical", "zero_both", "low_signal", "not_compared"];
  const STATES = {
    ok: "ok", identical: "identical", zero_both: "zero on both sides", zero_quant: "zero in the quant run",
    zero_float: "zero in the float run", nonfinite: "NaN or Inf", low_signal: "low signal", not_compared: "not compared",
  };
  const field = (name) => (layer) => layerFilter.FIELDS[name].get(layer, new Map());
  const level = (stored) => (isNone(stored) || Number.isNaN(value(stored)) ? Infinity : value(stored));
  const namedLayers = (findings, effects) => {
    const named = new Map();
    for (const { slug, status, layers } of findings) {
      if (status !== "fail" || effects.includes(slug)) continue;
      for (const index of layers.slice(0, 8)) if (!named.has(index)) named.set(index, [named.size, slug]);
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

  return { isNone, decibel, cosine, percent, general, visible, STATES, field, namedLayers, severity, mark, compareNumbers, bySeverity };
})();
