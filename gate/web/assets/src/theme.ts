// Follows Airflow's theme before anything is painted: of the page around us, of its stored choice, or of the system.
{
  const root = document.documentElement;
  const outer = (): HTMLElement | null => {
    try {
      return window.parent === window ? null : window.parent.document.documentElement;
    } catch {
      return null; // framed by somebody whose page we may not read
    }
  };
  const stored = (): string | null => {
    try {
      return localStorage.getItem("theme"); // where Airflow keeps its users' choice
    } catch {
      return null;
    }
  };
  const system = matchMedia("(prefers-color-scheme: dark)");
  const wanted = (): string => {
    const frame = outer();
    if (frame?.classList.contains("dark")) return "dark";
    if (frame?.classList.contains("light")) return "light";
    const choice = stored();
    if (choice === "dark" || choice === "light") return choice;
    return system.matches ? "dark" : "light";
  };
  const apply = (): void => {
    root.dataset.theme = wanted();
  };
  apply();
  root.dataset.framed = String(window.parent !== window);
  system.addEventListener("change", apply);
  addEventListener("storage", apply);
  const frame = outer();
  if (frame) new MutationObserver(apply).observe(frame, { attributes: true, attributeFilter: ["class", "style"] });
}
