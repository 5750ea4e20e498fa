// Small pictures of numbers, each with its words for those who do not see it.

export interface Part {
  name: string;
  count: number;
  kind?: "good" | "bad" | "busy" | "quiet";
}

export function words(parts: Part[]): string {
  return parts.map((part) => `${part.name}: ${part.count}`).join(", ");
}

// One bar in parts, and under it what each is.
export function StackedBar({ parts, legend = false }: { parts: Part[]; legend?: boolean }) {
  const total = parts.reduce((sum, part) => sum + part.count, 0);
  const shade = (part: Part, index: number) => part.kind ?? `shade-${index % 6}`;
  return (
    <>
      <div class="bar" role="img" aria-label={words(parts) || "none"} title={words(parts)}>
        {parts.map((part, index) => (
          <span
            key={part.name}
            class={`part ${shade(part, index)}`}
            style={{ width: `${(100 * part.count) / Math.max(total, 1)}%` }}
          />
        ))}
      </div>
      {legend && (
        <ul class="legend" aria-hidden="true">
          {parts.map((part, index) => (
            <li key={part.name}>
              <span class={`dot ${shade(part, index)}`} /> <b>{part.count.toLocaleString()}</b> {part.name}
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

export function BigNumber({ value, text, href, kind = "" }: { value: string | number; text: string; href?: string; kind?: string }) {
  const inside = (
    <>
      <b>{typeof value === "number" ? value.toLocaleString() : value}</b> <span>{text}</span>
    </>
  );
  return href ? (
    <a class={`number ${kind}`} href={href}>
      {inside}
    </a>
  ) : (
    <div class={`number ${kind}`}>{inside}</div>
  );
}

const kWidth = 240;
const kHeight = 56;

// How a number went over time: a line from left to right, from the smallest to the largest.
export function Trend({
  name,
  points,
  per = "hour",
  print,
}: {
  name: string;
  points: { at: number; value: number }[];
  per?: "minute" | "hour" | "day";
  print: (value: number) => string;
}) {
  const last = points.at(-1);
  if (!last) return null;
  const values = points.map((point) => point.value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const [from, until] = [points[0]?.at ?? 0, last.at];
  const x = (at: number) => 4 + ((kWidth - 8) * (at - from)) / Math.max(until - from, 1);
  const y = (value: number) => (high > low ? kHeight - 6 - ((kHeight - 12) * (value - low)) / (high - low) : kHeight / 2);
  const text = `${name}: ${print(last.value)} now, ${print(low)} to ${print(high)} in ${points.length} ${points.length === 1 ? per : `${per}s`}`;
  return (
    <figure class="trend">
      <figcaption>
        {name} <b>{print(last.value)}</b>
      </figcaption>
      <svg viewBox={`0 0 ${kWidth} ${kHeight}`} role="img" aria-label={text}>
        <title>{text}</title>
        <polyline points={points.map((point) => `${x(point.at)},${y(point.value)}`).join(" ")} />
        <circle cx={x(last.at)} cy={y(last.value)} r={3.5} />
      </svg>
      <span class="quiet small">
        {print(low)} – {print(high)}
      </span>
    </figure>
  );
}

// A bar for each, as long as its share.
export function Shares({ label, counts }: { label: string; counts: [name: string, count: number][] }) {
  const total = counts.reduce((sum, [, count]) => sum + count, 0);
  return (
    <ul class="shares" aria-label={label}>
      {counts.map(([name, count]) => {
        const share = (100 * count) / Math.max(total, 1);
        return (
          <li key={name}>
            <span>{name}</span>
            <span class="share" aria-hidden="true">
              <span style={{ width: `${share}%` }} />
            </span>
            <span>{share.toFixed(1)} %</span>
          </li>
        );
      })}
    </ul>
  );
}
