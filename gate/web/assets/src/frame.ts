// Inside Airflow's frame, links to Airflow's own pages open in the window around it: the frame's sandbox forbids the
// ordinary ways, so the click is handed to the outer page, which is of the same origin.

function outside(): Document | null {
  try {
    return window.parent === window ? null : window.parent.document;
  } catch {
    return null;
  }
}

export function leaveFrame(root: ParentNode): void {
  const outer = outside();
  if (outer === null) return;
  for (const link of root.querySelectorAll<HTMLAnchorElement>("a[data-leaves]")) {
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      const twin = outer.createElement("a");
      twin.href = link.href;
      outer.body.append(twin);
      twin.click();
      twin.remove();
    });
  }
}
