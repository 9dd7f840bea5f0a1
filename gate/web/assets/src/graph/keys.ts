// The graph by keyboard: along links with left and right, among neighbours with up and down.
import type { CollectionReturnValue, Core, NodeSingular } from "cytoscape";
import { WIDTH } from "./shape";

const ALONG: Record<string, (node: NodeSingular) => CollectionReturnValue> = {
  ArrowRight: (node) => node.outgoers("node"),
  ArrowLeft: (node) => node.incomers("node"),
};

/** Where a key leads from a node; the node itself when there is nothing that way. */
export function step(cy: Core, from: NodeSingular, key: string): NodeSingular {
  const here = from.position();
  const along = ALONG[key];
  const sign = key === "ArrowDown" ? 1 : -1;
  const offered = along ? along(from) : cy.nodes().filter((node) => Math.abs(node.position().x - here.x) < WIDTH / 2);
  const distance = (node: NodeSingular): number => {
    const { x, y } = node.position();
    return Math.abs(y - here.y) + Math.abs(x - here.x) / 1000;
  };
  return offered
    .toArray()
    .map((node) => node as NodeSingular)
    .filter((node) => node.visible() && node.id() !== from.id() && !node.isParent())
    .filter((node) => along || (node.position().y - here.y) * sign > 0)
    .reduce((best, node) => (best === from || distance(node) < distance(best) ? node : best), from);
}

export interface Keys {
  readonly move: (key: string) => void;
  readonly enter: () => void;
  readonly escape: () => void;
  readonly zoom: (factor: number) => void;
  readonly fit: () => void;
}

export function listen(container: HTMLElement, keys: Keys): void {
  container.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key.startsWith("Arrow")) keys.move(event.key);
    else if (event.key === "Enter") keys.enter();
    else if (event.key === "Escape") keys.escape();
    else if (event.key === "+" || event.key === "=") keys.zoom(1.25);
    else if (event.key === "-") keys.zoom(0.8);
    else if (event.key === "0") keys.fit();
    else return;
    event.preventDefault();
  });
}
