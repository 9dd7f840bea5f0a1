// The side panel: what is known of the chosen thing, and for a decision its policy rows with their clauses.
import { get, words, type Answer, type LineageNode } from "./answer";

export interface Clause {
  readonly quote: string;
  readonly authority: string;
  readonly section: string | null;
  readonly source: string;
}

/** What the page `lineage/decisions/INDEX.json` tells. */
export interface DecisionDetail {
  readonly address: string;
  readonly ledger: string | null;
  readonly verdict: string;
  readonly policy: string;
  readonly use: string;
  readonly reasons: readonly { readonly code: string; readonly remedy: string }[];
  readonly cells: readonly {
    readonly dataset: string;
    readonly category: string;
    readonly requirement: string | null;
    readonly row: string | null;
    readonly policy: string | null;
    readonly blocks: boolean;
    readonly reasons: readonly string[];
    readonly accounts_with: number;
    readonly accounts_without: number;
    readonly rows_with: number;
    readonly rows_without: number;
    readonly clauses: readonly Clause[];
  }[];
}

export interface Action {
  readonly words: string;
  readonly act: () => void;
}

export interface Panel {
  readonly open: boolean;
  show(title: string, body: readonly Node[], actions: readonly Action[], links?: readonly [string, string][]): void;
  add(...more: Node[]): void;
  focus(): void;
  close(): void;
}

export function panel(root: HTMLElement, closed: () => void): Panel {
  const heading = made("h2");
  const content = made("div");
  const close = button("Close", () => hide());
  heading.tabIndex = -1;
  root.append(close, heading, content);
  function hide(): void {
    if (root.hidden) return;
    root.hidden = true;
    closed();
  }
  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });
  return {
    get open() {
      return !root.hidden;
    },
    show(title, body, actions, links = []) {
      heading.textContent = title;
      const row = made("p");
      row.className = "row";
      row.append(...links.map(([text, address]) => anchor(text, address, "button")), ...actions.map((one) => button(one.words, one.act)));
      content.replaceChildren(...(row.childElementCount ? [row] : []), ...body);
      root.hidden = false;
    },
    add(...more) {
      content.append(...more);
    },
    focus: () => heading.focus(),
    close: hide,
  };
}

/** What an answer tells of one node. */
export function about(node: LineageNode, answer: Answer): Node[] {
  const of = answer.nodes.find((other) => other.id === node.of);
  const pairs: [string, string | Node][] = [
    ["Name", node.name],
    ["Namespace", node.namespace ?? ""],
    ["Digest", node.version ?? ""],
    ["Of", of && of.name !== node.name ? of.label : ""],
    ["DAG", node.dag_id ?? ""],
  ];
  for (const [name, value] of Object.entries(node.facts)) {
    if (name === "coverage" || value === "" || value === null) continue;
    pairs.push([capital(words(name)), name === "categories" || name === "reasons" ? badges(value as string[], name) : text(value)]);
  }
  const found: Node[] = [facts(pairs), ...coverage(node)];
  if (node.kind === "model" || node.kind === "version") found.push(...neighbours(node, answer));
  return found;
}

function neighbours(node: LineageNode, answer: Answer): Node[] {
  const nodes = new Map(answer.nodes.map((one) => [one.id, one]));
  const named = (ids: number[]): string => ids.flatMap((id) => nodes.get(id)?.label ?? []).slice(0, 20).join(", ");
  const wrote = named(answer.edges.filter((edge) => edge.target === node.id).map((edge) => edge.source));
  const read = named(answer.edges.filter((edge) => edge.source === node.id).map((edge) => edge.target));
  return [facts([["Written by", wrote], ["Read by", read]])];
}

interface Covered {
  readonly category?: string;
  readonly verdict?: string;
  readonly reasons?: readonly string[];
}

/** Coverage that decisions stated of a version: per category what lacked how much. */
function coverage(node: LineageNode): Node[] {
  return Object.entries((node.facts.coverage ?? {}) as Record<string, unknown>).flatMap(([decision, value]) => {
    const list = made("ul");
    for (const one of Array.isArray(value) ? (value as Covered[]) : []) {
      const reasons = (one.reasons ?? []).map(words).join(", ");
      const counts = Object.entries(one).flatMap(([name, told]) => (typeof told === "number" ? [`${words(name)} ${told.toLocaleString()}`] : []));
      const parts = [words(one.category ?? ""), one.verdict ?? "", reasons, counts.join(", ")];
      list.append(made("li", parts.filter(Boolean).join(": ")));
    }
    return [made("h3", `Coverage in decision ${decision}`), list];
  });
}

/** Add to the panel what the ledger says of a decision: its rows of the policy, and the clauses they rest on. */
export async function explain(shown: Panel, address: string, otherwise: readonly Node[], still: () => boolean): Promise<void> {
  let told: DecisionDetail;
  try {
    told = await get<DecisionDetail>(address);
  } catch {
    if (still()) shown.add(made("p", "The ledger here does not hold this decision."), ...otherwise);
    return;
  }
  if (!still()) return;
  const list = made("ul");
  for (const { code, remedy } of told.reasons) list.append(made("li", `${words(code)}: ${remedy}`));
  const where = made("p");
  where.className = "row";
  where.append(anchor("Open the decision, with consents and what to do", told.address, "button primary"));
  if (told.ledger) where.append(anchor("Its ledger entry and proof", told.ledger, "button"));
  shown.add(where, facts([["Verdict", told.verdict === "block" ? "✗ blocked" : "✓ allowed"], ["Use", told.use], ["Policy", told.policy]]));
  if (told.reasons.length) shown.add(made("h3", "Reasons"), list);
  shown.add(made("h3", "What the policy asked"), ...told.cells.map(cell));
}

function cell(one: DecisionDetail["cells"][number]): Node {
  const box = made("section");
  box.className = one.blocks ? "callout bad" : "callout good";
  const accounts = one.accounts_with + one.accounts_without;
  const head = made("p", `${one.blocks ? "✗" : "✓"} ${words(one.category)} in ${one.dataset}: ${one.requirement ?? "no row"}`);
  box.append(head);
  if (one.row && one.policy) box.append(anchor(`Row ${one.row}`, one.policy));
  if (accounts) box.append(made("p", `Consent: ${one.accounts_with.toLocaleString()} of ${accounts.toLocaleString()} accounts, ${one.rows_without.toLocaleString()} rows lack it`));
  if (one.reasons.length && one.blocks) box.append(made("p", one.reasons.map(words).join(", ")));
  for (const clause of one.clauses) {
    const quote = made("blockquote", `“${clause.quote}” `);
    quote.append(made("small", [clause.authority, clause.section, clause.source].filter(Boolean).join(" · ")));
    box.append(quote);
  }
  return box;
}

export function facts(pairs: readonly [string, string | Node][]): HTMLElement {
  const list = made("dl");
  list.className = "facts";
  for (const [name, value] of pairs) {
    if (value === "") continue;
    const told = made("dd");
    told.append(value);
    list.append(made("dt", name), told);
  }
  return list;
}

function badges(codes: readonly string[], kind: string): HTMLElement {
  const row = made("span");
  row.className = "chips";
  for (const code of codes) {
    const badge = made("span", words(code));
    badge.className = `badge ${kind === "reasons" ? "bad" : "info"}`;
    row.append(badge);
  }
  return row;
}

function capital(name: string): string {
  return name.charAt(0).toUpperCase() + name.slice(1);
}

function text(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (typeof value !== "object") return String(value);
  return Object.entries(value).map(([name, one]) => `${words(name)} ${typeof one === "object" ? JSON.stringify(one) : String(one)}`).join(", ");
}

export function made<K extends keyof HTMLElementTagNameMap>(name: K, content = ""): HTMLElementTagNameMap[K] {
  const element = document.createElement(name);
  element.textContent = content;
  return element;
}

function button(content: string, act: () => void): HTMLButtonElement {
  const found = made("button", content);
  found.type = "button";
  found.className = "button";
  found.addEventListener("click", act);
  return found;
}

function anchor(content: string, address: string, look = ""): HTMLAnchorElement {
  const link = made("a", content);
  link.href = address;
  if (look) link.className = look;
  return link;
}
