"use strict";
/* The filter language for layers, as in qdebug/run/filter.py: one table of cases tests both. */
const layerFilter = (() => {
  /* Fields as qdebug/run/layer_fields.py lists them; what others than the layer know is below. */
  const at = (path) => (layer) => path.reduce((part, name) => (part === null || part === undefined ? null : part[name]), layer);
  const reader = ({ kind, paths }) => {
    const reads = paths.map(at);
    if (reads.length > 1) return (layer) => reads.map((read) => read(layer));
    if (kind === "count") return (layer) => reads[0](layer).length;
    if (kind === "sizes") return (layer) => reads[0](layer).join("x");
    if (kind === "flag") return (layer) => (reads[0](layer) ? "yes" : "no");
    return reads[0];
  };
  const OUTSIDE = {
    finding: (layer, findings) => findings.get(layer.index) || [],
    is: () => [],
  };
  const FIELDS = {};
  const ALIASES = {};
  for (const field of layerVocabulary.fields) {
    const { name, kind, aliases } = field;
    FIELDS[name] = { name, numeric: ["number", "count"].includes(kind), get: kind === "outside" ? OUTSIDE[name] : reader(field) };
    for (const alias of aliases) ALIASES[alias] = name;
  }
  const COMPARE = {
    "<": (a, b) => a < b,
    "<=": (a, b) => a <= b,
    ">": (a, b) => a > b,
    ">=": (a, b) => a >= b,
    "=": (a, b) => a === b,
    "!=": (a, b) => a !== b,
  };
  const WORD = /(?:"[^"]*"?|[^\s"])+/gu;
  const TERM = /^([#\p{L}\p{N}_]+)(<=|>=|!=|[:~<>=])([^]*)$/u;
  const DIGITS = "\\d+(?:_\\d+)*";
  const NUMBER = new RegExp(`^[+-]?(?:${DIGITS}(?:\\.(?:${DIGITS})?)?|\\.${DIGITS})(?:e[+-]?${DIGITS})?$`, "i");
  const INFINITE = /^([+-]?)inf(?:inity)?$/i;

  class FilterError extends Error {
    constructor(message, hint) {
      super(message);
      this.hint = hint || "";
    }
  }

  /* A stored number: JSON has no infinities, so they are words there. */
  const value = (stored) => {
    if (stored === "inf") return Infinity;
    if (stored === "-inf") return -Infinity;
    return typeof stored === "number" ? stored : NaN;
  };
  const isMissing = (stored) => stored === null || stored === undefined;
  const fieldOf = (word) => {
    const key = word.toLowerCase();
    const name = Object.hasOwn(ALIASES, key) ? ALIASES[key] : key;
    return Object.hasOwn(FIELDS, name) ? FIELDS[name] : null;
  };
  const unquoted = (word) => word.replaceAll('"', "");
  const escaped = (word) => word.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");

  const texts = (field, layer, findings) => {
    const found = field.get(layer, findings);
    if (isMissing(found) || found === "") return [];
    return (Array.isArray(found) ? found : [found]).map((item) => item.toLowerCase());
  };

  const parseNumber = (word) => {
    const infinite = INFINITE.exec(word);
    if (infinite) return infinite[1] === "-" ? -Infinity : Infinity;
    if (/^[+-]?nan$/i.test(word)) return NaN;
    return NUMBER.test(word) ? Number(word.replaceAll("_", "")) : null;
  };

  const operand = (word) => {
    const other = fieldOf(word);
    if (other && other.numeric) return (layer, findings) => value(other.get(layer, findings));
    const percent = word.endsWith("%");
    const parsed = parseNumber(percent ? word.slice(0, -1) : word);
    if (parsed === null) throw new FilterError(`'${word}' is neither a number nor a numeric field`);
    return () => (percent ? parsed / 100 : parsed);
  };

  const numericTerm = (field, op, wanted) => {
    if (op === "~") throw new FilterError(`${field.name} is a number`, `for example ${field.name}<20`);
    const special = op === ":" || op === "=" ? wanted.toLowerCase() : "";
    if (special === "none") return (layer, findings) => isMissing(field.get(layer, findings));
    if (special === "nan") {
      return (layer, findings) => {
        const stored = field.get(layer, findings);
        return !isMissing(stored) && Number.isNaN(value(stored));
      };
    }
    const compare = COMPARE[op === ":" ? "=" : op];
    const options = wanted.split(",").map(operand);
    if (options.length > 1 && op !== ":" && op !== "=") {
      throw new FilterError(`${op} compares with one value, not with '${wanted}'`);
    }
    return (layer, findings) => {
      const left = value(field.get(layer, findings));
      if (Number.isNaN(left)) return false;
      return options.some((option) => {
        const right = option(layer, findings);
        return !Number.isNaN(right) && compare(left, right);
      });
    };
  };

  const textTerm = (field, op, wanted) => {
    if ("<=>=".includes(op) && op !== "=") throw new FilterError(`${field.name} is a text`);
    const parts = wanted.match(/(?:"[^"]*"|[^,"])+/gu) || [wanted];
    const options = parts.map((part) => unquoted(part).toLowerCase());
    const any = (test) => (layer, findings) => texts(field, layer, findings).some(test);
    if (op === "~") return any((item) => options.some((option) => item.includes(option)));
    if (options.length === 1 && options[0] === "none") {
      return (layer, findings) => texts(field, layer, findings).length === 0;
    }
    const patterns = options.map(
      (option) => new RegExp(`^(?:${option.split("*").map(escaped).join("[^\\n]*")})$`, "u")
    );
    const equals = any((item) => patterns.some((pattern) => pattern.test(item)));
    return op === "!=" ? (layer, findings) => !equals(layer, findings) : equals;
  };

  const anywhere = (wanted) => (layer, findings) =>
    ["name", "tensor", "op"].some((name) =>
      texts(FIELDS[name], layer, findings).some((item) => item.includes(wanted))
    );

  const parseTerm = (word) => {
    if (word.split('"').length % 2 === 0) {
      throw new FilterError(`the word ${word} opens a quote that it does not close`);
    }
    const term = word.startsWith('"') ? null : TERM.exec(word);
    if (!term) return anywhere(unquoted(word).toLowerCase());
    const field = fieldOf(term[1]);
    if (!field) {
      const known = `fields: ${Object.keys(FIELDS).join(" ")}`;
      throw new FilterError(`there is no field '${term[1]}' to filter by`, known);
    }
    if (!term[3]) throw new FilterError(`the word '${word}' lacks a value`);
    return (field.numeric ? numericTerm : textTerm)(field, term[2], term[3]);
  };

  const parseWord = (word) => {
    if (!word.startsWith("!")) return parseTerm(word);
    if (word === "!") {
      throw new FilterError("a single ! inverts the whole filter only as its first word");
    }
    const inner = parseTerm(word.slice(1));
    return (layer, findings) => !inner(layer, findings);
  };

  /* A function (layer, findings) -> boolean; throws FilterError. */
  const parse = (filter) => {
    const words = filter.match(WORD) || [];
    const inverted = words[0] === "!";
    const tests = words.slice(inverted ? 1 : 0).map(parseWord);
    return (layer, findings) => tests.every((test) => test(layer, findings)) !== inverted;
  };

  /* Slugs and ids, lower case, of the findings that name a layer. */
  const findingsByLayer = (findings) => {
    const named = new Map();
    for (const finding of findings) {
      if (finding.status === "pass" || finding.status === "not_applicable") continue;
      for (const layer of finding.layers) {
        const words = named.get(layer) || [];
        words.push(finding.slug.toLowerCase(), finding.id.toLowerCase());
        named.set(layer, words);
      }
    }
    return named;
  };

  return { parse, findingsByLayer, value, FilterError, FIELDS };
})();
