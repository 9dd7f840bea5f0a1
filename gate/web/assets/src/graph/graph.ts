// The graph on the screen: what is drawn of the answer, what is chosen, what of it existed as of the chosen time.
import cytoscape, { type Core, type ElementDefinition, type NodeSingular } from "cytoscape";
import { allRemembered, remember, remembered } from "./address";
import { get, merged, overlap, push, reach, standing, type Answer, type LineageNode, type Standing } from "./answer";
import { listen, step } from "./keys";
import { places, warm } from "./layout";
import { colours, followTheme, stylesheet } from "./look";
import { minimap, type Minimap } from "./minimap";
import { about, explain, facts, panel, type Panel } from "./panel";
import { MOST, nodeData, shape, titled, type Drawn, type Grouping, type Shape } from "./shape";

const GROUPED_FROM = 1_500; // nodes from which on the graph opens collapsed
const GENTLY = { duration: 200 }; // milliseconds
const LEGIBLE = 0.6; // zoom from which on labels are drawn and can be read
const NARROW = 640; // pixels

type Direction = "upstream" | "downstream";

export class Graph {
  readonly cy: Core;
  answer: Answer | null = null;
  grouping: Grouping = "none";
  private readonly canvas: HTMLElement;
  private readonly status: HTMLElement;
  private readonly side: Panel;
  private readonly map: Minimap;
  private readonly open = new Set<string>(allRemembered("open"));
  private readonly calm = matchMedia("(prefers-reduced-motion: reduce)");
  private drawn: Shape = { elements: [], drawn: new Map(), groups: new Map() };
  private told = new Map<number, LineageNode>();
  private total = 0;
  private round = 0;
  private moment = 0; // of the time slider: an answer about an earlier one comes too late

  constructor(readonly root: HTMLElement) {
    const find = <T extends HTMLElement>(name: string): T => root.querySelector<T>(name) as T;
    this.canvas = find("#canvas");
    this.status = find("#graph-status");
    this.cy = cytoscape({
      container: this.canvas,
      style: stylesheet(colours()),
      minZoom: 0.01,
      maxZoom: 3,
      boxSelectionEnabled: false,
      textureOnViewport: true,
      selectionType: "single",
    });
    this.map = minimap(this.cy, find<HTMLCanvasElement>("#minimap"));
    this.side = panel(find("#panel"), () => this.canvas.focus());
    this.cy.on("tap", "node", (event) => this.choose(event.target as NodeSingular, true));
    this.cy.on("dbltap", "node", (event) => void this.toggle((event.target as NodeSingular).id()));
    listen(this.canvas, {
      move: (key) => this.walk(key),
      enter: () => this.enter(),
      escape: () => (this.side.open ? this.side.close() : this.focusOn(null)),
      zoom: (factor) => this.zoom(factor),
      fit: () => this.fit(),
    });
    followTheme(this.cy, () => this.map.redraw());
  }

  /** Ask, and draw the answer. */
  async start(): Promise<void> {
    const { json, asOf } = this.root.dataset;
    if (!json) return;
    this.say("Asking…");
    warm();
    try {
      const [answer, earlier] = await Promise.all([get<Answer>(json), asOf ? get<Answer>(asOf) : null]);
      await this.take(answer, earlier);
    } catch (error) {
      this.say(`The graph cannot be shown: ${error instanceof Error ? error.message : "unknown"}. The table may still work.`);
      this.status.className = "callout bad";
      this.root.dataset.ready = "failed";
    }
  }

  private async take(newest: Answer, earlier: Answer | null): Promise<void> {
    const answer = earlier ? merged(newest, earlier) : newest;
    this.answer = answer;
    this.told = new Map([...answer.nodes, ...(earlier?.nodes ?? [])].map((node) => [node.id, node]));
    const asked = remembered("group");
    this.total = answer.nodes.filter((node) => node.depth !== null).length;
    const fitting: Grouping = this.total > GROUPED_FROM ? "dag" : "none";
    this.grouping = asked === "dag" || asked === "namespace" || (asked === "none" && fitting === "none") ? asked : fitting;
    await this.draw();
    if (earlier) this.existing(overlap(answer, earlier), earlier);
    const chosen = remembered("selected");
    if (chosen) this.choose(this.cy.getElementById(chosen) as unknown as NodeSingular, true);
    this.root.dispatchEvent(new CustomEvent("answered"));
    this.root.dataset.ready = "true";
  }

  /** Draw everything anew; keeps what was drawn when it would be too much. */
  async draw(): Promise<boolean> {
    if (this.answer === null) return false;
    const next = shape(this.answer, this.grouping, this.open);
    if (next.drawn.size > MOST && this.drawn.drawn.size > 0) {
      this.say(`That would be ${next.drawn.size.toLocaleString()} things to draw. Ask from one node instead, or read the table.`);
      return false;
    }
    const round = (this.round += 1);
    const began = performance.now();
    const found = await places(next.elements);
    if (round !== this.round) return false;
    this.drawn = next;
    this.cy.elements().remove();
    this.cy.add(next.elements.map((one) => placed(one, found.get(String(one.data.id)))));
    this.begin();
    this.map.redraw();
    this.root.dataset.layout = String(Math.round(performance.now() - began)); // milliseconds
    this.count();
    return true;
  }

  /** Group by something else. */
  async group(by: Grouping): Promise<void> {
    const before = this.grouping;
    this.grouping = by;
    this.open.clear();
    if (!(await this.draw())) this.grouping = before;
    remember({ group: this.grouping, open: [], selected: null });
  }

  /** Open or collapse a group. */
  async toggle(id: string): Promise<void> {
    if (!id.startsWith("g:")) return;
    const group = id.slice(2);
    const [change, back] = this.open.has(group) ? (["delete", "add"] as const) : (["add", "delete"] as const);
    this.open[change](group);
    if (!(await this.draw())) this.open[back](group);
    remember({ open: [...this.open] });
    this.side.close();
  }

  /** Choose a node, and show what is known of it. */
  choose(node: NodeSingular, open: boolean): void {
    if (node.empty() || !node.isNode()) return;
    this.cy.elements().unselect();
    node.select();
    this.say(String(node.data("title") ?? node.id()));
    remember({ selected: node.id() });
    const thing = this.drawn.drawn.get(node.id());
    if (!thing || !(open || this.side.open)) return;
    const whole = !this.side.open && this.whole();
    this.tell(thing);
    if (!whole) return;
    this.cy.resize(); // the panel took some of the width
    if (!this.whole()) this.fit();
  }

  /** Say whether everything that is drawn can be seen. */
  private whole(): boolean {
    const { x1, y1, x2, y2 } = this.cy.elements(":visible").renderedBoundingBox();
    return x1 >= 0 && y1 >= 0 && x2 <= this.cy.width() && y2 <= this.cy.height();
  }

  private tell(thing: Drawn): void {
    const focus = [
      { words: "Only upstream", act: () => this.focusOn("upstream") },
      { words: "Only downstream", act: () => this.focusOn("downstream") },
      { words: "Everything", act: () => this.focusOn(null) },
    ];
    if (thing.group) {
      const group = thing.id.slice(2);
      const words = this.open.has(group) ? "Collapse" : "Open";
      const act = (): void => void this.toggle(thing.id);
      this.side.show(group, [facts([["Nodes", thing.members.length.toLocaleString()]])], [{ words, act }, ...focus]);
      return;
    }
    const node = this.told.get(thing.members[0] ?? -1);
    if (!node || !this.answer) return;
    const here = thing.id;
    const still = (): boolean => this.side.open && this.chosen()?.id() === here;
    const { decisions } = this.root.dataset;
    const known = about(node, this.answer);
    const ours = node.kind === "decision" && decisions !== undefined;
    this.side.show(titled(node), ours ? [] : known, focus, this.links(node));
    if (ours) void explain(this.side, `${decisions}/${encodeURIComponent(node.name)}.json`, known, still);
  }

  private links(node: LineageNode): [string, string][] {
    const address = new URL(location.href);
    for (const name of ["node", "selected", "open", "group", "as_of"]) address.searchParams.delete(name);
    address.searchParams.set("node", asked(node));
    return [["Ask from here", address.href]];
  }

  /** Show the chosen node and what lies one way of it; everything else fades. */
  focusOn(direction: Direction | null): void {
    const chosen = this.chosen();
    this.cy.elements().removeClass("faded");
    if (direction === null || !chosen) return;
    const next = new Map<string, string[]>();
    for (const edge of this.cy.edges(":visible").toArray()) {
      const [from, to] = [edge.data("source") as string, edge.data("target") as string];
      if (direction === "downstream") push(next, from, to);
      else push(next, to, from);
    }
    const kept = reach([chosen.id()], next);
    this.cy.batch(() => {
      this.cy.nodes().forEach((node) => void node.toggleClass("faded", !kept.has(node.id()) && !node.isParent()));
      this.cy.edges().forEach((edge) => void edge.toggleClass("faded", !kept.has(edge.source().id()) || !kept.has(edge.target().id())));
    });
    this.say(`${(kept.size - 1).toLocaleString()} ${direction} of ${String(chosen.data("title"))}`);
  }

  /** Show what existed until an instant; `null`: everything. */
  until(instant: string | null): void {
    this.moment += 1;
    if (this.answer) this.existing(standing(this.answer, instant));
  }

  /** Let the server say what was known as of an instant: facts of that time, too. */
  async exactly(instant: string): Promise<void> {
    if (!this.answer || !this.root.dataset.json) return;
    const moment = (this.moment += 1);
    const address = new URL(this.root.dataset.json, location.href);
    address.searchParams.set("as_of", instant);
    const earlier = await get<Answer>(address.href);
    if (moment !== this.moment) return;
    const both = merged(this.answer, earlier);
    if (both !== this.answer) {
      this.answer = both;
      await this.draw();
    }
    this.existing(overlap(this.answer, earlier), earlier);
  }

  private existing(standing: Standing, earlier: Answer | null = null): void {
    const nodes = new Map((earlier ?? this.answer)?.nodes.map((node) => [node.id, node]));
    if (nodes) nodes.forEach((node, id) => this.told.set(id, node));
    this.cy.batch(() => {
      this.cy.nodes().forEach((node) => {
        const thing = this.drawn.drawn.get(node.id());
        node.toggleClass("later", !thing?.members.some((id) => standing.nodes.has(id)));
        const one = thing && !thing.group ? nodes.get(thing.members[0] ?? -1) : undefined;
        if (one) node.data(nodeData(one, node.data("root") === 1));
      });
      this.cy.edges().forEach((edge) => void edge.toggleClass("later", !(edge.data("places") as number[]).some((place) => standing.edges.has(place))));
    });
    this.map.redraw();
    this.count();
  }

  /** Mark what bears a text; returns how many things do. */
  find(text: string): number {
    const sought = text.trim().toLowerCase();
    const fits = (id: number): boolean => {
      const node = this.told.get(id);
      return node !== undefined && `${node.label} ${node.name} ${node.version ?? ""} ${node.dag_id ?? ""}`.toLowerCase().includes(sought);
    };
    let count = 0;
    this.cy.batch(() =>
      this.cy.nodes().forEach((node) => {
        const thing = this.drawn.drawn.get(node.id());
        const found = sought !== "" && !node.isParent() && (thing?.members.some(fits) ?? false);
        count += Number(found);
        node.toggleClass("found", found);
      }),
    );
    if (sought) this.say(`${count.toLocaleString()} found`);
    return count;
  }

  /** Choose the next of those that were found. */
  next(): void {
    const found = this.cy.nodes(".found").toArray() as NodeSingular[];
    const place = found.findIndex((node) => node.selected());
    const node = found[(place + 1) % found.length];
    if (!node) return;
    this.choose(node, false);
    this.centre(node);
  }

  zoom(factor: number): void {
    this.cy.zoom({ level: this.cy.zoom() * factor, renderedPosition: { x: this.cy.width() / 2, y: this.cy.height() / 2 } });
  }

  /** Begin with everything; on a narrow screen, where nobody could read that, with what was asked about. */
  private begin(): void {
    this.fit();
    const root = this.first();
    if (root && this.cy.width() < NARROW && this.cy.zoom() < LEGIBLE) this.centre(root);
  }

  fit(): void {
    this.cy.fit(this.cy.elements(":visible"), 24);
    if (this.cy.zoom() > 1.2) {
      this.cy.zoom(1.2);
      this.cy.center(this.cy.elements(":visible"));
    }
  }

  say(words: string): void {
    this.status.textContent = words;
  }

  private count(): void {
    const [nodes, all] = [this.cy.nodes(":visible").length, this.total];
    const more = this.answer?.complete === false ? "; there is more that is not shown" : "";
    this.say(all === 0 ? "Nothing is known of this." : `${nodes.toLocaleString()} drawn for ${all.toLocaleString()} nodes${more}`);
  }

  private chosen(): NodeSingular | null {
    const found = this.cy.nodes(":selected");
    return found.nonempty() ? (found.first() as NodeSingular) : null;
  }

  private first(): NodeSingular | null {
    const roots = this.cy.nodes("[root=1]:visible");
    const found = roots.nonempty() ? roots : this.cy.nodes(":visible").filter((node) => !node.isParent());
    return found.nonempty() ? (found.first() as NodeSingular) : null;
  }

  private walk(key: string): void {
    const from = this.chosen();
    const to = from ? step(this.cy, from, key) : this.first();
    if (!to) return;
    this.choose(to, false);
    this.centre(to);
  }

  private enter(): void {
    const node = this.chosen() ?? this.first();
    if (!node) return;
    this.choose(node, true);
    this.cy.resize();
    this.centre(node);
    this.side.focus();
  }

  private centre(node: NodeSingular): void {
    const zoom = Math.max(this.cy.zoom(), LEGIBLE);
    const { x, y } = node.position();
    const pan = { x: this.cy.width() / 2 - x * zoom, y: this.cy.height() / 2 - y * zoom };
    if (this.calm.matches) this.cy.viewport({ zoom, pan });
    else this.cy.stop().animate({ zoom, pan }, GENTLY);
  }
}

function placed(one: ElementDefinition, position: { x: number; y: number } | undefined): ElementDefinition {
  return position ? { ...one, position } : one;
}

/** How a question names a node; see `gate lineage upstream --help`. */
function asked(node: LineageNode): string {
  if (node.kind === "decision" || node.kind === "run") return `${node.kind}:${node.name}`;
  const name = `${node.namespace ?? ""}/${node.name}`;
  if (node.kind === "job") return `job:${name}`;
  return node.version ? `${name}@${node.version}` : name;
}
