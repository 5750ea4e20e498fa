// What every page is made of.
import type { ComponentChildren } from "preact";
import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Live } from "./live";

export function Page({ title, above, children }: { title: string; above?: ComponentChildren; children: ComponentChildren }) {
  const heading = useRef<HTMLHeadingElement>(null);
  // With the heading itself: a key that is pressed at once starts from there.
  useLayoutEffect(() => {
    document.title = `${title} – Skerry`;
    heading.current?.focus(); // screen readers say where one is
  }, [title]);
  return (
    <main>
      {above && <p class="above">{above}</p>}
      <h1 ref={heading} tabIndex={-1}>
        {title}
      </h1>
      {children}
    </main>
  );
}

export function Panel({ title, beside, children }: { title: string; beside?: ComponentChildren; children: ComponentChildren }) {
  const id = useId();
  return (
    <section class="panel" aria-labelledby={id}>
      <div class="panel-head">
        <h2 id={id}>{title}</h2>
        {beside}
      </div>
      {children}
    </section>
  );
}

// What a load brought, why it failed, or that it is under way.
export function Loaded<T>({ live, children }: { live: Live<T>; children: (data: T) => ComponentChildren }) {
  return (
    <>
      {live.error && <Problem error={live.error} retry={live.reload} />}
      {live.data !== undefined ? children(live.data) : !live.error && <Loading />}
    </>
  );
}

export function Loading() {
  return <p class="quiet">Loading…</p>;
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
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

export type Kind = "good" | "bad" | "busy" | "neutral";

export function Status({ value }: { value: string }) {
  return <Pill kind={kGood.has(value) ? "good" : kBad.has(value) ? "bad" : "neutral"}>{value}</Pill>;
}

export function Pill({ kind, children }: { kind: Kind; children: ComponentChildren }) {
  return <span class={`status ${kind}`}>{children}</span>;
}

export function Time({ seconds }: { seconds: number | undefined }) {
  if (!seconds) return <span class="quiet">never</span>;
  const date = new Date(seconds * 1000);
  return (
    <time dateTime={date.toISOString()}>
      {date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" })}
    </time>
  );
}

// Names and values; those without a value are left out.
export function Facts({ facts }: { facts: [name: string, value: ComponentChildren][] }) {
  const known = facts.filter(([, value]) => value !== undefined && value !== null && value !== "" && value !== false);
  if (known.length === 0) return null;
  return (
    <dl class="facts">
      {known.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export function deviceLink(name: string) {
  return <a href={`#/devices/${encodeURIComponent(name)}`}>{name}</a>;
}

export function deploymentLink(id: string, name: string | undefined) {
  return (
    <a href={`#/deployments/${encodeURIComponent(id)}`} title={id}>
      {name || id.slice(0, 8)}
    </a>
  );
}

// "thinggroup/plant" of an ARN, as a link to what it names.
export function targetLink(arn: string) {
  const target = arn.split(":").at(-1) ?? "";
  const [kind = "", name = ""] = target.split("/");
  const page = kind === "thinggroup" ? "groups" : "devices";
  return <a href={`#/${page}/${encodeURIComponent(name)}`}>{name || target}</a>;
}

// "#/devices?group=plant": where fields are empty they are left out.
export function address(page: string, query: Record<string, string> = {}): string {
  const filled = Object.entries(query).filter(([, value]) => value !== "");
  const text = new URLSearchParams(filled).toString();
  return `#/${page}${text && `?${text}`}`;
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
  empty: ComponentChildren;
}) {
  if (rows.length === 0) return <Empty>{empty}</Empty>;
  return (
    <div class="scroll">
      <table>
        <caption class="hidden">{caption}</caption>
        <thead>
          <tr>
            {columns.map((column) => (
              <th scope="col" key={column.name}>
                {column.name || <span class="hidden">Actions</span>}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={id(row)}>
              {columns.map((column) => (
                <td key={column.name} data-label={column.name}>
                  <div>{column.cell(row)}</div>
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export function Field({
  label,
  value,
  onInput,
  type = "text",
  required = false,
  choices,
}: {
  label: string;
  value: string;
  onInput: (value: string) => void;
  type?: string;
  required?: boolean;
  choices?: string[];
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
        list={choices && `${id}-choices`}
        autoComplete={type === "password" ? "current-password" : "off"}
        onInput={(event) => onInput(event.currentTarget.value)}
      />
      {choices && (
        <datalist id={`${id}-choices`}>
          {choices.map((choice) => (
            <option key={choice} value={choice} />
          ))}
        </datalist>
      )}
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

export function SearchForm({ children }: { children: ComponentChildren }) {
  return (
    <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
      {children}
    </form>
  );
}

// A form whose button does `send`, and that says what went wrong.
export function Form({
  action,
  send,
  disabled = false,
  children,
}: {
  action: string;
  send: () => Promise<unknown>;
  disabled?: boolean;
  children: ComponentChildren;
}) {
  const [error, setError] = useState<Error>();
  const submit = async (event: Event) => {
    event.preventDefault();
    setError(undefined);
    await send().catch(setError);
  };
  return (
    <form class="filters" onSubmit={submit}>
      {children}
      <button class="primary" disabled={disabled}>
        {action}
      </button>
      {error && <Problem error={error} />}
    </form>
  );
}

// A button that asks before it acts, and says what went wrong.
export function Confirmed({
  action,
  question,
  run,
  danger = false,
  primary = false,
}: {
  action: string;
  question: string;
  run: () => Promise<unknown>;
  danger?: boolean;
  primary?: boolean;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  const [error, setError] = useState<Error>();
  const [busy, setBusy] = useState(false);
  const open = () => {
    setError(undefined);
    dialog.current?.showModal();
  };
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
      <button type="button" class={danger ? "danger" : primary ? "primary" : ""} onClick={open}>
        {action}
      </button>
      <dialog ref={dialog} aria-labelledby={id}>
        <p id={id}>{question}</p>
        {error && <Problem error={error} />}
        <div class="actions">
          <button type="button" onClick={() => dialog.current?.close()}>
            Leave it
          </button>
          <button type="button" class={danger ? "danger" : "primary"} disabled={busy} onClick={confirm}>
            {action}
          </button>
        </div>
      </dialog>
    </>
  );
}

function useDelayed<T>(value: T, ms: number): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), ms);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}

// The fields of a search, which stand in the address too, so that it can be passed on; and the
// pages of what was found. `asked` is what was typed a moment ago.
export function useSearch<Filter extends Record<string, string>>(page: string, empty: Filter) {
  const [filter, setFilter] = useState<Filter>(() => {
    const query = new URLSearchParams(location.hash.split("?")[1] ?? "");
    const read = Object.keys(empty).map((name) => [name, query.get(name) ?? empty[name]]);
    return Object.fromEntries(read) as Filter;
  });
  const pages = usePages();
  const change = (part: Partial<Filter>) => {
    const next = { ...filter, ...part };
    setFilter(next);
    pages.restart();
    history.replaceState(null, "", address(page, next));
  };
  return { filter, asked: useDelayed(filter, 200), change, pages };
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
          <button type="button" disabled={tokens.length === 0} onClick={() => setTokens(tokens.slice(0, -1))}>
            Back
          </button>
          <span class="quiet" role="status">
            page {tokens.length + 1}
          </span>
          <button type="button" disabled={!next} onClick={() => next && setTokens([...tokens, next])}>
            Next
          </button>
        </nav>
      ) : null,
  };
}
