// The whole graph in a corner, with a frame around what is on the screen; a click or a drag moves the frame.
import type { Core } from "cytoscape";
import { colours } from "./look";
import { HEIGHT, WIDTH } from "./shape";

export interface Minimap {
  /** Draw the nodes anew: after a layout, or when some were hidden. */
  redraw(): void;
}

export function minimap(cy: Core, canvas: HTMLCanvasElement): Minimap {
  const context = canvas.getContext("2d");
  const still = document.createElement("canvas");
  let [scale, left, top] = [1, 0, 0];
  let asked = false;

  function frame(): void {
    asked = false;
    if (context === null) return;
    const { x1, y1, w, h } = cy.extent();
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(still, 0, 0);
    context.strokeStyle = colours().accent;
    context.lineWidth = 2;
    context.strokeRect((x1 - left) * scale, (y1 - top) * scale, w * scale, h * scale);
  }
  function ask(): void {
    if (asked) return;
    asked = true;
    requestAnimationFrame(frame);
  }
  function redraw(): void {
    const shown = cy.nodes(":visible");
    const box = shown.boundingBox({ includeLabels: false });
    scale = Math.min(canvas.width / Math.max(box.w, 1), canvas.height / Math.max(box.h, 1));
    left = box.x1 - (canvas.width / scale - box.w) / 2;
    top = box.y1 - (canvas.height / scale - box.h) / 2;
    still.width = canvas.width;
    still.height = canvas.height;
    const ink = still.getContext("2d");
    const known = colours();
    for (const node of shown.nonempty() && ink ? shown.toArray() : []) {
      if (ink === null || node.isParent()) continue;
      const { x, y } = node.position();
      const first = (node.data("categories") as string[])[0];
      ink.fillStyle = node.data("blocked") ? known.red : first ? known.category(first) : known.line;
      ink.fillRect((x - WIDTH / 2 - left) * scale, (y - HEIGHT / 2 - top) * scale, Math.max(WIDTH * scale, 1.5), Math.max(HEIGHT * scale, 1.5));
    }
    ask();
  }
  function go(event: PointerEvent): void {
    if (event.buttons === 0 && event.type !== "pointerdown") return;
    const box = canvas.getBoundingClientRect();
    const x = ((event.clientX - box.left) * canvas.width) / box.width / scale + left;
    const y = ((event.clientY - box.top) * canvas.height) / box.height / scale + top;
    cy.pan({ x: cy.width() / 2 - x * cy.zoom(), y: cy.height() / 2 - y * cy.zoom() });
  }
  canvas.addEventListener("pointerdown", go);
  canvas.addEventListener("pointermove", go);
  cy.on("viewport", ask);
  return { redraw };
}
