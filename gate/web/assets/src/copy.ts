// Puts a button beside everything that is meant to be copied: <div data-copy>…</div>.

async function copied(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // an insecure origin, or not allowed in this frame
  }
}

function byHand(text: string): boolean {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "off-screen";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

export function copyButtons(root: ParentNode): void {
  for (const element of root.querySelectorAll<HTMLElement>("[data-copy]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button copy";
    button.textContent = "Copy";
    const text = element.dataset.copy || (element.textContent ?? "").trim();
    button.setAttribute("aria-label", `Copy: ${text.slice(0, 60)}`);
    button.addEventListener("click", async () => {
      const done = (await copied(text)) || byHand(text);
      button.textContent = done ? "Copied" : "Select and copy by hand";
      setTimeout(() => (button.textContent = "Copy"), 2000);
    });
    element.after(button);
  }
}
