// What is shown stands in the address, so that it can be passed on; inside Airflow's frame in the address around it, too.

export function remember(changes: Readonly<Record<string, string | readonly string[] | null>>): void {
  const address = new URL(location.href);
  for (const [name, value] of Object.entries(changes)) {
    address.searchParams.delete(name);
    for (const one of value === null ? [] : [value].flat()) address.searchParams.append(name, one);
  }
  if (address.href === location.href) return;
  history.replaceState(null, "", address);
  try {
    window.frameElement?.dispatchEvent(new Event("load")); // Airflow copies the address of its frame when that loaded
  } catch {
    // framed by somebody whose page we may not touch
  }
}

export function remembered(name: string): string | null {
  return new URL(location.href).searchParams.get(name);
}

export function allRemembered(name: string): string[] {
  return new URL(location.href).searchParams.getAll(name);
}
