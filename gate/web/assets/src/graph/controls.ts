// What surrounds the graph: grouping, search, the time slider, pictures, zoom.
import { remember } from "./address";
import { sortable } from "./answer";
import type { Graph } from "./graph";
import { savePng, saveSvg } from "./picture";
import type { Grouping } from "./shape";

const shown = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export function controls(graph: Graph): void {
  const find = <T extends HTMLElement>(name: string): T => graph.root.querySelector<T>(name) as T;
  const on = (name: string, act: () => void): void => find(name).addEventListener("click", act);
  on("#zoom-in", () => graph.zoom(1.25));
  on("#zoom-out", () => graph.zoom(0.8));
  on("#zoom-fit", () => graph.fit());
  on("#save-png", () => void savePng(graph.cy));
  on("#save-svg", () => saveSvg(graph.cy));
  const group = find<HTMLSelectElement>("#group");
  group.addEventListener("change", () => void graph.group(group.value as Grouping).then(() => (group.value = graph.grouping)));
  const search = find<HTMLInputElement>("#find");
  search.addEventListener("input", () => graph.find(search.value));
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter") graph.next();
  });
  graph.root.addEventListener("answered", () => {
    group.value = graph.grouping;
    slider(graph, find("#time"), find("#time-shown"));
  });
}

/** One step per instant at which a link was told; the last step is now. */
function slider(graph: Graph, input: HTMLInputElement, output: HTMLElement): void {
  const steps = [...new Map(graph.answer?.edges.map((edge) => [sortable(edge.at), edge.at]))].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, at]) => at);
  const asked = graph.root.dataset.asOfInstant || null;
  const instant = (): string | null => steps[Number(input.value)] ?? null;
  const tell = (at: string | null): void => {
    const words = at === null ? "now" : shown.format(new Date(at));
    output.textContent = words;
    input.setAttribute("aria-valuetext", words);
  };
  input.max = String(steps.length);
  const until = asked === null ? steps.length : steps.filter((at) => sortable(at) <= sortable(asked)).length - 1;
  input.value = String(Math.max(until, 0));
  input.disabled = steps.length === 0;
  tell(asked);
  input.addEventListener("input", () => {
    tell(instant());
    graph.until(instant());
  });
  input.addEventListener("change", () => {
    const at = instant();
    remember({ as_of: at });
    if (at !== null) void graph.exactly(at).catch(() => graph.say("What was known then cannot be asked now; links are shown as of then."));
  });
}
