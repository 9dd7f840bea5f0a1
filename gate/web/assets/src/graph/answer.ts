// The answer to a lineage question, in the format that API, command line and pages share; see docs/pages.md.

export type Kind = "run" | "job" | "dataset" | "version" | "model" | "decision";

export interface Facts {
  readonly [name: string]: unknown;
  readonly categories?: readonly string[];
  readonly verdict?: string;
  readonly reasons?: readonly string[];
}

export interface LineageNode {
  readonly id: number;
  readonly kind: Kind;
  readonly namespace: string | null;
  readonly name: string;
  readonly version: string | null;
  readonly label: string;
  readonly of: number | null;
  readonly depth: number | null;
  readonly dag_id: string | null;
  readonly facts: Facts;
}

export interface LineageEdge {
  readonly source: number;
  readonly target: number;
  readonly at: string;
  readonly assumed: boolean;
  readonly verdict: "allow" | "block" | null;
  readonly reasons: readonly string[];
}

export interface Answer {
  readonly question: { readonly direction: string; readonly as_of: string | null; readonly ledger_index: number | null };
  readonly roots: readonly number[];
  readonly nodes: readonly LineageNode[];
  readonly edges: readonly LineageEdge[];
  readonly complete: boolean;
}

/** What exists as of an instant: ids of nodes, and places of edges in the answer. */
export interface Standing {
  readonly nodes: ReadonlySet<number>;
  readonly edges: ReadonlySet<number>;
}

export async function get<T>(address: string): Promise<T> {
  const answer = await fetch(address, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(answer.status === 401 ? "please log in again" : await said(answer));
  return (await answer.json()) as T;
}

async function said(answer: Response): Promise<string> {
  const told = (await answer.json().catch(() => ({}))) as { message?: string; hint?: string | null };
  return [told.message ?? `the service answered ${answer.status}`, told.hint ?? ""].filter(Boolean).join("; ");
}

/** Both answers as one: as of an earlier time a name may have meant an older version. */
export function merged(answer: Answer, earlier: Answer): Answer {
  const ids = new Set(answer.nodes.map((node) => node.id));
  const pairs = new Set(answer.edges.map(pair));
  const nodes = [...answer.nodes, ...earlier.nodes.filter((node) => !ids.has(node.id))];
  const edges = [...answer.edges, ...earlier.edges.filter((edge) => !pairs.has(pair(edge)))];
  if (nodes.length === answer.nodes.length && edges.length === answer.edges.length) return answer;
  return { ...answer, nodes, edges, roots: [...new Set([...answer.roots, ...earlier.roots])] };
}

const pair = (edge: LineageEdge): string => `${edge.source} ${edge.target}`;

/** An instant whose text sorts as its time does: RFC 3339 leaves the digits after the second open. */
export function sortable(instant: string): string {
  const [whole = "", digits = ""] = instant.replace(/Z$|\+00:00$/, "").split(".");
  return `${whole}.${digits.padEnd(6, "0")}`;
}

/** What the roots reach over links that were told until then: the same rule by which the server answers as of a time. */
export function standing(answer: Answer, until: string | null): Standing {
  const onward = new Map<number, number[]>();
  const back = new Map<number, number[]>();
  const end = until === null ? null : sortable(until);
  const told = answer.edges.map((edge) => end === null || sortable(edge.at) <= end);
  answer.edges.forEach((edge, place) => {
    if (!told[place]) return;
    push(onward, edge.source, edge.target);
    push(back, edge.target, edge.source);
  });
  const nodes = new Set<number>();
  const { direction } = answer.question;
  if (direction !== "downstream") reach(answer.roots, back).forEach((id) => nodes.add(id));
  if (direction !== "upstream") reach(answer.roots, onward).forEach((id) => nodes.add(id));
  if (until === null) answer.nodes.forEach((node) => nodes.add(node.id));
  const edges = new Set<number>();
  answer.edges.forEach((edge, place) => {
    if (told[place] && nodes.has(edge.source) && nodes.has(edge.target)) edges.add(place);
  });
  return { nodes, edges };
}

/** What another answer to the same question, as of an earlier time, holds of this one. */
export function overlap(answer: Answer, earlier: Answer): Standing {
  const pairs = new Set(earlier.edges.map(pair));
  const edges = answer.edges.flatMap((edge, place) => (pairs.has(pair(edge)) ? [place] : []));
  return { nodes: new Set(earlier.nodes.map((node) => node.id)), edges: new Set(edges) };
}

export function reach<K>(from: Iterable<K>, links: ReadonlyMap<K, readonly K[]>): Set<K> {
  const found = new Set(from);
  const border = [...found];
  for (let here = border.pop(); here !== undefined; here = border.pop()) {
    for (const there of links.get(here) ?? []) {
      if (found.has(there)) continue;
      found.add(there);
      border.push(there);
    }
  }
  return found;
}

export function push<K, V>(lists: Map<K, V[]>, key: K, value: V): void {
  const list = lists.get(key);
  if (list) list.push(value);
  else lists.set(key, [value]);
}

export const words = (code: string): string => code.replaceAll("_", " ");
