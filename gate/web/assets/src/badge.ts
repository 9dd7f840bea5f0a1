// A line on Airflow's dashboard: how many runs the gate stopped, and how many wait for a reviewer. Airflow imports this
// module (`react_apps` of the plugin) and lends it React and Chakra; when anything is missing, it shows nothing.

type Component = (properties: object) => unknown;
interface Chakra {
  Badge: Component;
  Box: Component;
  Heading: Component;
  HStack: Component;
  Text: Component;
}
interface Lent {
  React?: {
    createElement(type: unknown, properties: object | null, ...children: unknown[]): unknown;
    useEffect(effect: () => () => void, dependencies: readonly unknown[]): void;
    useState<T>(first: T): [T, (next: T) => void];
  };
  ReactRouterDOM?: { Link: Component };
  ChakraUI?: Chakra;
  "Consent gate badge"?: Component;
}
interface Counts {
  blocked: number;
  days: number;
  waiting: number;
}
interface Parked {
  hitl_details: readonly { task_instance: { operator: string | null } }[];
}

const EVERY = 60_000; // milliseconds; the dashboard may stay open all day
const GATE = "ConsentGateOperator";
const bundle: string = import.meta.url;
const lent = globalThis as unknown as Lent;

async function json<T>(address: URL): Promise<T> {
  const answer = await fetch(address, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(String(answer.status));
  return (await answer.json()) as T;
}

/** Ask the gate what it stopped, and Airflow which of its tasks are parked; each tells only what the viewer may see. */
async function counts(): Promise<Counts> {
  const parked = "api/v2/dags/~/dagRuns/~/hitlDetails?response_received=false&state=awaiting_input&limit=100";
  const [own, reviews] = await Promise.all([
    json<Omit<Counts, "waiting">>(new URL("../../badge.json", bundle)),
    json<Parked>(new URL(parked, document.baseURI)).catch((): Parked => ({ hitl_details: [] })),
  ]);
  return { ...own, waiting: reviews.hitl_details.filter((one) => one.task_instance.operator === GATE).length };
}

function badge({ React, ReactRouterDOM, ChakraUI }: Required<Lent>): Component {
  const { createElement: element, useEffect, useState } = React;
  return function ConsentGateBadge() {
    const [known, setKnown] = useState<Counts | null>(null);
    useEffect(() => {
      const look = (): void => void counts().then(setKnown, () => setKnown(null));
      look();
      const timer = setInterval(look, EVERY);
      return () => clearInterval(timer);
    }, []);
    if (known === null) return null;
    const card = (count: number, words: string, to: string, colour: string): unknown =>
      element(
        ReactRouterDOM.Link,
        { key: to, to },
        element(
          ChakraUI.HStack,
          { borderWidth: 1, borderRadius: "lg", p: 2, gap: 4, _hover: { bg: "bg.subtle" } },
          element(
            ChakraUI.Badge,
            { colorPalette: count > 0 ? colour : "success", variant: "solid", borderRadius: "full", fontSize: "sm", px: 2, py: 1 },
            count.toLocaleString(),
          ),
          element(ChakraUI.Text, { fontWeight: "bold", fontSize: "sm" }, words),
        ),
      );
    return element(
      ChakraUI.Box,
      { order: 3, "data-testid": "consent-gate-badge" },
      element(ChakraUI.Heading, { as: "h2", color: "fg.muted", fontSize: "xs", mb: 2 }, "Consent gate"),
      element(
        ChakraUI.HStack,
        { gap: 4, flexWrap: "wrap" },
        card(known.blocked, `Blocked in ${known.days} days`, "/plugin/consent-gate", "failed"),
        known.waiting > 0 ? card(known.waiting, "Waiting for review", "/required_actions?response_received=false", "orange") : null,
      ),
    );
  };
}

lent["Consent gate badge"] =
  lent.React && lent.ReactRouterDOM && lent.ChakraUI ? badge(lent as Required<Lent>) : () => null;
