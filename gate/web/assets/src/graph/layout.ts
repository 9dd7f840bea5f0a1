// Places nodes with ELK, which works in a worker of its own: the page stays alive meanwhile.
import type { ElementDefinition } from "cytoscape";
import ELK, { type ElkExtendedEdge, type ElkNode } from "elkjs/lib/elk-api.js";
import workerAddress from "elkjs/lib/elk-worker.min.js?url";
import { push } from "./answer";
import { HEIGHT, WIDTH } from "./shape";

export type Places = ReadonlyMap<string, { x: number; y: number }>;

const elk = new ELK({ workerFactory: () => new Worker(workerAddress) });

const LAYERED = {
  "elk.algorithm": "layered",
  "elk.direction": "RIGHT",
  "elk.layered.spacing.nodeNodeBetweenLayers": "72",
  "elk.spacing.nodeNode": "18",
  "elk.spacing.componentComponent": "48",
  "elk.edgeRouting": "POLYLINE",
  "elk.layered.nodePlacement.strategy": "BRANDES_KOEPF",
};
const QUICK = {
  "elk.layered.thoroughness": "1",
  "elk.layered.layering.strategy": "LONGEST_PATH_SOURCE",
  "elk.layered.nodePlacement.strategy": "SIMPLE",
  "elk.layered.crossingMinimization.greedySwitch.type": "OFF",
};
const ROOMY = { "elk.layered.spacing.nodeNodeBetweenLayers": "145" }; // for the reason on a blocked edge
const MANY = 400; // nodes from which on speed counts more than beauty

/** Let the worker's engine get warm while the answer is on its way: the first layout takes twice as long. */
export function warm(): void {
  const names = Array.from({ length: 120 }, (_, place) => String(place));
  const children = names.map((id) => ({ id, width: WIDTH, height: HEIGHT }));
  const edges = names.slice(1).flatMap((id, place) => [
    { id: `a${id}`, sources: [names[place >> 1] ?? "0"], targets: [id] },
    { id: `b${id}`, sources: [names[place >> 2] ?? "0"], targets: [id] },
  ]);
  void elk.layout({ id: "warm", layoutOptions: { ...LAYERED, ...QUICK }, children, edges });
}

const DENSE = 3; // links a node; of denser graphs a backbone decides where things stand
const KEPT = 2; // links into each thing that belong to it

function backbone(nodes: number, edges: readonly ElementDefinition[]): readonly ElementDefinition[] {
  if (edges.length <= DENSE * nodes) return edges;
  const into = new Map<string, number>();
  return edges.filter((edge) => {
    const target = String(edge.data.target);
    const before = into.get(target) ?? 0;
    into.set(target, before + 1);
    return before < KEPT;
  });
}

/** Ask where things stand: before they are added to the graph, which would otherwise be styled and drawn twice. */
export async function places(elements: readonly ElementDefinition[]): Promise<Places> {
  const nodes = elements.filter((one) => one.data.source === undefined);
  const edges = elements.filter((one) => one.data.source !== undefined);
  const inside = new Map<string, ElkNode[]>();
  const box = (one: ElementDefinition): ElkNode => ({ id: String(one.data.id), width: WIDTH, height: HEIGHT });
  for (const one of nodes) if (one.data.parent) push(inside, String(one.data.parent), box(one));
  const children = nodes
    .filter((one) => !one.data.parent)
    .map((one): ElkNode => {
      const own = inside.get(String(one.data.id));
      return own ? { id: String(one.data.id), children: own, layoutOptions: { "elk.padding": "[top=34,left=16,bottom=16,right=16]" } } : box(one);
    });
  const layoutOptions = {
    ...LAYERED,
    ...(nodes.length > MANY ? QUICK : {}),
    ...(edges.some((edge) => edge.data.blocked === 1) ? ROOMY : {}),
    ...(inside.size > 0 ? { "elk.hierarchyHandling": "INCLUDE_CHILDREN" } : {}),
  };
  const links = backbone(nodes.length, edges).map(
    ({ data }): ElkExtendedEdge => ({ id: String(data.id), sources: [String(data.source)], targets: [String(data.target)] }),
  );
  const root = await elk.layout({ id: "root", layoutOptions, children, edges: links });
  const found = new Map<string, { x: number; y: number }>();
  const note = (node: ElkNode, left: number, top: number): void => {
    const [x, y] = [left + (node.x ?? 0), top + (node.y ?? 0)];
    if (node.children?.length) node.children.forEach((inner) => note(inner, x, y));
    else found.set(node.id, { x: x + WIDTH / 2, y: y + HEIGHT / 2 });
  };
  (root.children ?? []).forEach((node) => note(node, 0, 0));
  return found;
}
