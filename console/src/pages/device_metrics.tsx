// What a device measured of itself and what its components put in: a line for each series.
import { useState } from "preact/hooks";
import { call } from "../api";
import { Trend } from "../charts";
import { useLive } from "../live";
import { Choice, Empty, Loaded, Panel } from "../ui";

interface Point {
  atMs: number;
  sum: number;
  mean: number;
}
interface Series {
  component: string;
  name: string;
  unit: string;
  points: Point[];
}

// How far back, and how much of it one point stands for.
const kSpans = {
  "2 hours": { hours: 2, per: "minute" },
  "2 days": { hours: 48, per: "hour" },
  "90 days": { hours: 90 * 24, per: "day" },
} as const;
type Span = keyof typeof kSpans;

const kSigns: Record<string, string> = {
  BYTES: "B",
  BYTES_PER_SECOND: "B/s",
  MEGABYTES: "MB",
  SECONDS: "s",
  COUNT_PER_SECOND: "/s",
  PERCENT: "%",
  CELSIUS: "°C",
};
const kNamespaces: Record<string, string> = { SystemMetrics: "The machine", GreengrassComponents: "How many components are" };

function print(unit: string, value: number): string {
  const short = new Intl.NumberFormat("en", { notation: Math.abs(value) >= 1e5 ? "compact" : "standard", maximumSignificantDigits: 4 });
  return [short.format(value), kSigns[unit]].filter(Boolean).join(" ");
}

function spaced(name: string): string {
  return name.replace(/([a-z])([A-Z])/g, "$1 $2");
}

function byComponent(series: Series[]): Map<string, Series[]> {
  const groups = new Map<string, Series[]>();
  for (const each of series) groups.set(each.component, [...(groups.get(each.component) ?? []), each]);
  return groups;
}

export function DeviceMetrics({ thing }: { thing: string }) {
  const [span, setSpan] = useState<Span>("2 hours");
  const live = useLive(
    async () => (await call<{ series: Series[] }>("skerry", "GET", "/skerry/v1/deviceMetrics", { query: { thing, ...kSpans[span] } })).series,
    [thing, span],
    ["devices"],
  );
  const spans = Object.keys(kSpans).map((text) => ({ value: text, text }));
  const choose = <Choice label="In the last" value={span} options={spans} onChange={(value) => setSpan(value as Span)} />;
  return (
    <Panel title="Metrics" beside={choose}>
      <Loaded live={live}>
        {(series) =>
          series.length === 0 ? (
            <Empty>It has measured nothing in this time, or not told.</Empty>
          ) : (
            [...byComponent(series)].map(([component, list]) => (
              <section key={component}>
                <h3>{kNamespaces[component] ?? component}</h3>
                <div class="trends">
                  {list.map((each) => (
                    <Trend
                      key={`${each.name} ${each.unit}`}
                      name={spaced(each.name)}
                      per={kSpans[span].per}
                      points={each.points.map((point) => ({ at: point.atMs, value: point.mean }))}
                      print={(value) => print(each.unit, value)}
                    />
                  ))}
                </div>
              </section>
            ))
          )
        }
      </Loaded>
    </Panel>
  );
}
