// The graph page: asks for the answer, draws it, and lets people walk through it by mouse or by keyboard.
import "./lineage.css";
import { Graph } from "./graph/graph";
import { controls } from "./graph/controls";

const root = document.querySelector<HTMLElement>("#graph");
if (root) {
  const graph = new Graph(root);
  controls(graph);
  void graph.start();
}
