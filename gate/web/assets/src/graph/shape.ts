// Turns an answer into what is drawn: groups that are open or collapsed, links merged between what is visible.
import type { ElementDefinition } from "cytoscape";
import { push, words, type Answer, type Kind, type LineageNode } from "./answer";

export type Grouping = "none" | "dag" | "namespace";
export const WIDTH = 168; // pixels of a node at zoom 1
export const HEIGHT = 44;
export const MOST = 2_000; // things drawn at once; more become groups
const LETTERS = 24; // of a label that fit into a node

/** What one drawn thing stands for. */
export interface Drawn {
  readonly id: string;
  readonly group: boolean;
  readonly members: readonly number[];
}

export interface Shape {
  readonly elements: ElementDefinition[];
  readonly drawn: ReadonlyMap<string, Drawn>;
  readonly groups: ReadonlyMap<string, readonly number[]>;
}

/** The group of each node: its DAG or namespace; data belongs to the DAG that wrote it. */
export function groupsOf(answer: Answer, grouping: Grouping): Map<number, string> {
  const found = new Map<number, string>();
  if (grouping === "none") return found;
  const dags = new Map<number, string>();
  for (const node of answer.nodes) if (node.dag_id !== null) dags.set(node.id, node.dag_id);
  const wrote = new Map<number, string>();
  for (const edge of answer.edges) {
    const dag = dags.get(edge.source);
    if (dag !== undefined && !dags.has(edge.target)) wrote.set(edge.target, dag);
  }
  for (const node of answer.nodes) {
    if (node.depth === null) continue;
    const dag = dags.get(node.id) ?? wrote.get(node.id);
    const own = grouping === "dag" ? (dag ?? node.namespace) : (node.namespace ?? dag);
    found.set(node.id, own ?? "others");
  }
  return found;
}

/** Build what is drawn; members of a group that is not open become one thing. */
export function shape(answer: Answer, grouping: Grouping, open: ReadonlySet<string>): Shape {
  const groupOf = groupsOf(answer, grouping);
  const groups = new Map<string, number[]>();
  for (const [id, group] of groupOf) push(groups, group, id);
  const nodes = new Map(answer.nodes.map((node) => [node.id, node]));
  const drawn = new Map<string, Drawn>();
  const elements: ElementDefinition[] = [];
  for (const [group, members] of groups) {
    const id = `g:${group}`;
    drawn.set(id, { id, group: true, members });
    const inside = members.flatMap((member) => nodes.get(member) ?? []);
    elements.push({ data: groupData(id, group, inside, open.has(group)) });
  }
  const placeOf = new Map<number, string>();
  for (const node of answer.nodes) {
    if (node.depth === null) continue; // only what others are of
    const group = groupOf.get(node.id);
    const inside = group !== undefined && !open.has(group);
    const id = inside ? `g:${group}` : `n:${node.id}`;
    placeOf.set(node.id, id);
    if (inside) continue;
    drawn.set(id, { id, group: false, members: [node.id] });
    const parent = group === undefined ? {} : { parent: `g:${group}` };
    elements.push({ data: { id, ...nodeData(node, answer.roots.includes(node.id)), ...parent } });
  }
  elements.push(...links(answer, placeOf));
  return { elements, drawn, groups };
}

function links(answer: Answer, placeOf: ReadonlyMap<number, string>): ElementDefinition[] {
  const merged = new Map<string, number[]>();
  answer.edges.forEach((edge, place) => {
    const [source, target] = [placeOf.get(edge.source), placeOf.get(edge.target)];
    if (source && target && source !== target) push(merged, `${source}\n${target}`, place);
  });
  return [...merged].map(([pair, places]) => {
    const [source, target] = pair.split("\n") as [string, string];
    const edges = places.flatMap((place) => answer.edges[place] ?? []);
    const blocked = edges.filter((edge) => edge.verdict === "block");
    const reasons = [...new Set(blocked.flatMap((edge) => edge.reasons))];
    const data = {
      id: `e:${pair}`,
      source,
      target,
      places,
      blocked: Number(blocked.length > 0),
      assumed: Number(edges.every((edge) => edge.assumed)),
      label: blocked.length > 0 ? reasonOn(reasons) : "",
    };
    return { data };
  });
}

/** What stands on a blocked edge; the panel and the table tell all reasons. */
function reasonOn(reasons: readonly string[]): string {
  const [first = "blocked"] = reasons;
  return `✗ ${words(first)}${reasons.length > 1 ? ` +${reasons.length - 1}` : ""}`;
}

function groupData(id: string, group: string, inside: readonly LineageNode[], open: boolean): Record<string, unknown> {
  const blocked = inside.filter((node) => node.facts.verdict === "block").length;
  const count = `${inside.length.toLocaleString()} node${inside.length === 1 ? "" : "s"}`;
  const second = blocked > 0 ? `${count} · ✗ ${blocked.toLocaleString()} blocked` : count;
  const label = open ? group : `⊞ ${clipped(group)}\n${second}`;
  return { id, kind: "group", open: Number(open), label, title: `${group}, ${second}`, blocked: Number(blocked > 0), root: 0, categories: [] };
}

const SIGNS: Record<Kind, string> = { run: "▷", job: "⚙", dataset: "▤", version: "▤", model: "◆", decision: "⚖" };

/** What is drawn of a node. */
export function nodeData(node: LineageNode, root: boolean): Record<string, unknown> {
  const blocked = node.facts.verdict === "block";
  const second = secondLine(node);
  const [first, below] = lines(node, second);
  return {
    kind: node.kind,
    label: `${SIGNS[node.kind]} ${clipped(first)}${below ? `\n${clipped(below)}` : ""}`,
    title: `${titled(node)}${second ? `, ${second}` : ""}`,
    categories: node.facts.categories ?? [],
    blocked: Number(blocked),
    root: Number(root),
  };
}

const MODEL = /^(.+) \((.+)\)( @ .+)?$/; // as the service labels them: model (file) @ version

/** The two lines in a node: what tells it from its neighbours comes first, for names of DAGs are long and alike. */
function lines(node: LineageNode, second: string): [string, string] {
  const model = node.kind === "model" && second === "" ? MODEL.exec(node.label) : null;
  if (model) return [model[1] ?? "", `${model[2] ?? ""}${model[3] ?? ""}`];
  const dag = node.dag_id;
  if ((node.kind !== "run" && node.kind !== "job") || dag === null || !node.label.startsWith(`${dag}.`)) return [node.label, second];
  return [node.label.slice(dag.length + 1), second === "" || second === "complete" ? dag : `${second} · ${dag}`];
}

/** Name a node with its kind, once. */
export function titled(node: LineageNode): string {
  return node.label.startsWith(node.kind) ? node.label : `${node.kind} ${node.label}`;
}

function secondLine(node: LineageNode): string {
  if (node.facts.categories?.length) return node.facts.categories.map(words).join(" · ");
  if (node.facts.verdict === "block") return `✗ ${(node.facts.reasons ?? []).map(words).join(", ") || "blocked"}`;
  if (node.facts.verdict === "allow") return "✓ allowed";
  if (node.kind === "run" && typeof node.facts.state === "string") return node.facts.state.toLowerCase();
  return "";
}

export function clipped(text: string, letters = LETTERS): string {
  return text.length > letters ? `${text.slice(0, letters - 1)}…` : text;
}
