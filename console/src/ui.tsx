// What every page is made of.
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import type { Live } from "./live";

export function Page({ title, children }: { title: string; children: ComponentChildren }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} – Skerry`;
    heading.current?.focus(); // screen readers say where one is
  }, [title]);
  return (
    <main>
      <h1 ref={heading} tabIndex={-1}>
        {title}
      </h1>
      {children}
    </main>
  );
}

// What a load brought, why it failed, or that it is under way.
export function Loaded<T>({ live, children }: { live: Live<T>; children: (data: T) => ComponentChildren }) {
  return (
    <>
      {live.error && <Problem error={live.error} retry={live.reload} />}
      {live.data !== undefined ? children(live.data) : !live.error && <p class="quiet">Loading…</p>}
    </>
  );
}

export function Problem({ error, retry }: { error: Error; retry?: () => void }) {
  return (
    <p class="problem" role="alert">
      {error.message} {retry && <button onClick={retry}>Try again</button>}
    </p>
  );
}

const kGood = new Set(["HEALTHY", "RUNNING", "FINISHED", "SUCCEEDED", "COMPLETED", "enabled"]);
const kBad = new Set(["UNHEALTHY", "UNREACHABLE", "BROKEN", "ERRORED", "FAILED", "TIMED_OUT", "REJECTED"]);

export function Status({ value }: { value: string }) {
  const kind = kGood.has(value) ? "good" : kBad.has(value) ? "bad" : "neutral";
  return <span class={`status ${kind}`}>{value}</span>;
}

export function Time({ seconds }: { seconds: number | undefined }) {
  if (!seconds) return <span class="quiet">never</span>;
  const date = new Date(seconds * 1000);
  return <time dateTime={date.toISOString()}>{date.toLocaleString()}</time>;
}

export interface Column<Row> {
  name: string;
  cell: (row: Row) => ComponentChildren;
}

export function Table<Row>({
  caption,
  columns,
  rows,
  id,
  empty,
}: {
  caption: string;
  columns: Column<Row>[];
  rows: Row[];
  id: (row: Row) => string;
  empty: string;
}) {
  if (rows.length === 0) return <p class="quiet">{empty}</p>;
  return (
    <div class="scroll">
      <table>
        <caption class="hidden">{caption}</caption>
        <thead>
          <tr>
            {columns.map((column) => (
              <th scope="col" key={column.name}>
                {column.name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={id(row)}>
              {columns.map((column) => (
                <td key={column.name} data-label={column.name}>
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

// One bar in parts, with its numbers in words beside it.
export function StackedBar({ parts }: { parts: { name: string; count: number; bad?: boolean }[] }) {
  const total = parts.reduce((sum, part) => sum + part.count, 0);
  const text = parts.map((part) => `${part.name}: ${part.count}`).join(", ");
  return (
    <div class="bar" role="img" aria-label={text} title={text}>
      {parts.map((part, index) => (
        <span
          key={part.name}
          class={part.bad ? "part bad" : `part shade-${index % 6}`}
          style={{ width: `${(100 * part.count) / Math.max(total, 1)}%` }}
        />
      ))}
    </div>
  );
}

export function Field({
  label,
  value,
  onInput,
  type = "text",
  required = false,
}: {
  label: string;
  value: string;
  onInput: (value: string) => void;
  type?: string;
  required?: boolean;
}) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        id={id}
        type={type}
        value={value}
        required={required}
        autoComplete={type === "password" ? "current-password" : "off"}
        onInput={(event) => onInput(event.currentTarget.value)}
      />
    </div>
  );
}

export function Choice({
  label,
  value,
  options,
  onChange,
}: {
  label: string;
  value: string;
  options: { value: string; text: string }[];
  onChange: (value: string) => void;
}) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select id={id} value={value} onChange={(event) => onChange(event.currentTarget.value)}>
        {options.map((option) => (
          <option key={option.value} value={option.value}>
            {option.text}
          </option>
        ))}
      </select>
    </div>
  );
}

// A button that asks before it acts, and says what went wrong.
export function Confirmed({
  action,
  question,
  run,
  danger = false,
}: {
  action: string;
  question: string;
  run: () => Promise<unknown>;
  danger?: boolean;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [error, setError] = useState<Error>();
  const [busy, setBusy] = useState(false);
  const confirm = async () => {
    setBusy(true);
    setError(undefined);
    try {
      await run();
      dialog.current?.close();
    } catch (problem) {
      setError(problem as Error);
    }
    setBusy(false);
  };
  return (
    <>
      <button class={danger ? "danger" : ""} onClick={() => dialog.current?.showModal()}>
        {action}
      </button>
      <dialog ref={dialog}>
        <p>{question}</p>
        {error && <Problem error={error} />}
        <div class="actions">
          <button onClick={() => dialog.current?.close()}>Leave it</button>
          <button class={danger ? "danger" : "primary"} disabled={busy} onClick={confirm}>
            {action}
          </button>
        </div>
      </dialog>
    </>
  );
}

// Pages of a list that the control plane gives piece by piece.
export function usePages() {
  const [tokens, setTokens] = useState<string[]>([]);
  return {
    token: tokens.at(-1),
    restart: () => setTokens([]),
    Pager: ({ next }: { next: string | undefined }) =>
      next || tokens.length > 0 ? (
        <nav class="actions" aria-label="Pages">
          <button disabled={tokens.length === 0} onClick={() => setTokens(tokens.slice(0, -1))}>
            Back
          </button>
          <span class="quiet">page {tokens.length + 1}</span>
          <button disabled={!next} onClick={() => next && setTokens([...tokens, next])}>
            Next
          </button>
        </nav>
      ) : null,
  };
}
