// The look of the graph: colours come from the page's styles, so that the legend and both themes agree.
import type { Core, NodeSingular, StylesheetJson } from "cytoscape";
import { HEIGHT, WIDTH } from "./shape";

export interface Colours {
  readonly text: string;
  readonly paper: string;
  readonly plain: string;
  readonly line: string;
  readonly red: string;
  readonly accent: string;
  category(name: string): string;
}

export const KNOWN = [
  "audio",
  "video",
  "chat",
  "telemetry",
  "education_record",
  "phi",
  "aggregated_anonymous",
  "none",
  "unclassified",
] as const;

/** Read the colours of the theme that is shown. */
export function colours(): Colours {
  const style = getComputedStyle(document.documentElement);
  const read = (name: string): string => style.getPropertyValue(`--g-${name}`).trim();
  const own = new Map<string, string>(KNOWN.map((name) => [name, read(name)]));
  const [text, paper, plain, line, red, accent] = ["text", "paper", "plain", "line", "red", "accent"].map(read) as [string, string, string, string, string, string];
  return { text, paper, plain, line, red, accent, category: (name) => own.get(name) ?? own.get("unclassified") ?? plain };
}

/** Colours of a node from left to right, in hard stripes: one for each of its categories. */
export function stripes(categories: readonly string[], known: Colours): { colours: string[]; stops: number[] } {
  const each = categories.length === 0 ? [known.plain] : categories.map((name) => known.category(name));
  const found: { colours: string[]; stops: number[] } = { colours: [], stops: [] };
  each.forEach((colour, place) => {
    found.colours.push(colour, colour);
    found.stops.push((100 * place) / each.length, (100 * (place + 1)) / each.length);
  });
  return found;
}

const SHAPES: Record<string, string> = {
  run: "rectangle",
  job: "cut-rectangle",
  dataset: "barrel",
  version: "round-rectangle",
  model: "hexagon",
  decision: "octagon",
  group: "round-rectangle",
};

/** Return the stylesheet; nodes' data are those of `shape`. */
export function stylesheet(known: Colours): StylesheetJson {
  const of = (node: NodeSingular): { colours: string[]; stops: number[] } => stripes(node.data("categories") as string[], known);
  const sheet = [
    {
      selector: "node",
      style: {
        shape: (node: NodeSingular) => SHAPES[node.data("kind") as string] ?? "rectangle",
        width: WIDTH,
        height: HEIGHT,
        label: "data(label)",
        color: known.text,
        "font-size": 11,
        "font-family": "ui-sans-serif, system-ui, sans-serif",
        "text-valign": "center",
        "text-halign": "center",
        "text-wrap": "wrap",
        "text-max-width": `${WIDTH}px`,
        "min-zoomed-font-size": 6,
        "background-color": known.plain,
        "border-width": 1,
        "border-color": known.line,
      },
    },
    { selector: "node[kind='version'], node[kind='dataset'], node[kind='model']", style: {
        "background-fill": "linear-gradient",
        "background-gradient-direction": "to-right",
        "background-gradient-stop-colors": (node: NodeSingular) => of(node).colours.join(" "),
        "background-gradient-stop-positions": (node: NodeSingular) => of(node).stops.map((stop) => `${stop}%`).join(" "),
    } },
    { selector: "node[root=1]", style: { "border-width": 3, "border-color": known.accent } },
    { selector: "node[kind='group']", style: { "border-style": "dashed", "border-color": known.text } },
    { selector: "node:parent", style: { "text-valign": "top", "background-opacity": 0.15, "font-weight": "bold", padding: "14px", "min-zoomed-font-size": 0 } },
    { selector: "node[blocked=1]", style: { "border-color": known.red, "border-width": 3 } },
    {
      selector: "edge",
      style: {
        width: 1.2,
        "line-color": known.line,
        "target-arrow-color": known.line,
        "target-arrow-shape": "triangle",
        "arrow-scale": 0.8,
        "curve-style": "straight",
      },
    },
    { selector: "edge[assumed=1]", style: { "line-style": "dashed" } },
    {
      selector: "edge[blocked=1]", // the only ones with words on them
      style: {
        "line-color": known.red,
        "target-arrow-color": known.red,
        width: 2.5,
        "z-index": 5,
        label: "data(label)",
        "font-size": 10,
        color: known.red,
        "text-background-color": known.paper,
        "text-background-opacity": 1,
        "text-background-padding": "2px",
        "min-zoomed-font-size": 7,
      },
    },
    { selector: ".faded", style: { opacity: 0.18 } },
    { selector: ".found", style: { "border-color": known.accent, "border-width": 4 } },
    { selector: ".later", style: { display: "none" } },
    { selector: ":selected", style: { "border-color": known.accent, "border-width": 4, "line-color": known.accent, "target-arrow-color": known.accent } },
  ];
  return sheet as unknown as StylesheetJson;
}

/** Paint anew whenever the page's theme changes. */
export function followTheme(cy: Core, changed: () => void): void {
  new MutationObserver(() => {
    cy.style(stylesheet(colours()));
    changed();
  }).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
}
