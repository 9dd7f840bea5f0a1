// Saves the graph as a picture: PNG by Cytoscape, SVG written here from what is on the canvas.
import type { Core, EdgeSingular, NodeSingular } from "cytoscape";
import { colours, stripes, type Colours } from "./look";
import { HEIGHT, WIDTH } from "./shape";

const SVG = "http://www.w3.org/2000/svg";
const LARGEST = 8_000; // pixels of a side of a PNG: browsers make no larger canvases everywhere

export async function savePng(cy: Core): Promise<void> {
  const blob = await cy.png({ output: "blob-promise", full: true, scale: 2, maxWidth: LARGEST, maxHeight: LARGEST, bg: colours().paper });
  save(blob, "lineage.png");
}

export function saveSvg(cy: Core): void {
  save(new Blob([new XMLSerializer().serializeToString(svg(cy))], { type: "image/svg+xml" }), "lineage.svg");
}

function save(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function element(name: string, attributes: Record<string, string | number>, text = ""): SVGElement {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  made.textContent = text;
  return made;
}

function svg(cy: Core): SVGElement {
  const known = colours();
  const box = cy.elements(":visible").boundingBox();
  const margin = 20;
  const view = [box.x1 - margin, box.y1 - margin, box.w + 2 * margin, box.h + 2 * margin];
  const drawing = element("svg", { viewBox: view.map(Math.round).join(" "), "font-family": "sans-serif", "font-size": 11 });
  drawing.append(element("title", {}, document.title));
  drawing.append(element("rect", { x: view[0] ?? 0, y: view[1] ?? 0, width: view[2] ?? 0, height: view[3] ?? 0, fill: known.paper }));
  for (const edge of cy.edges(":visible").toArray() as EdgeSingular[]) drawing.append(...arrow(edge, known));
  for (const node of cy.nodes(":visible").toArray() as NodeSingular[]) drawing.append(...box_(node, known));
  return drawing;
}

function arrow(edge: EdgeSingular, known: Colours): SVGElement[] {
  const [from, to] = [edge.sourceEndpoint(), edge.targetEndpoint()];
  const blocked = Boolean(edge.data("blocked"));
  const stroke = blocked ? known.red : known.line;
  const dashes: Record<string, string> = edge.data("assumed") ? { "stroke-dasharray": "5 4" } : {};
  const angle = Math.atan2(to.y - from.y, to.x - from.x);
  const wing = (turn: number): string => `${to.x - 8 * Math.cos(angle + turn)},${to.y - 8 * Math.sin(angle + turn)}`;
  const drawn = [
    element("line", { x1: from.x, y1: from.y, x2: to.x, y2: to.y, stroke, "stroke-width": blocked ? 2.5 : 1.2, ...dashes }),
    element("polygon", { points: `${to.x},${to.y} ${wing(0.4)} ${wing(-0.4)}`, fill: stroke }),
  ];
  const label = String(edge.data("label"));
  const middle = { x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 - 4 };
  if (label) drawn.push(element("text", { ...middle, fill: known.red, "text-anchor": "middle" }, label));
  return drawn;
}

function box_(node: NodeSingular, known: Colours): SVGElement[] {
  const { x, y } = node.position();
  const border = { stroke: node.data("blocked") ? known.red : node.data("root") ? known.accent : known.line, "stroke-width": node.data("blocked") ? 3 : 1 };
  if (node.isParent()) {
    const outer = node.boundingBox();
    const frame = element("rect", { x: outer.x1, y: outer.y1, width: outer.w, height: outer.h, rx: 6, fill: "none", ...border });
    return [frame, element("text", { x, y: outer.y1 + 14, fill: known.text, "text-anchor": "middle" }, String(node.data("label")))];
  }
  const { colours: fills, stops } = stripes(node.data("categories") as string[], known);
  const left = x - WIDTH / 2;
  const drawn = fills.flatMap((fill, place) => {
    const [begin, end] = [stops[place] ?? 0, stops[place + 1] ?? 0];
    if (place % 2 === 1) return [];
    return [element("rect", { x: left + (WIDTH * begin) / 100, y: y - HEIGHT / 2, width: (WIDTH * (end - begin)) / 100, height: HEIGHT, fill })];
  });
  drawn.push(element("rect", { x: left, y: y - HEIGHT / 2, width: WIDTH, height: HEIGHT, fill: "none", ...border }));
  const lines = String(node.data("label")).split("\n");
  lines.forEach((line, place) => {
    const down = y + 4 + 14 * (place - (lines.length - 1) / 2);
    drawn.push(element("text", { x, y: down, fill: known.text, "text-anchor": "middle" }, line));
  });
  return drawn;
}
