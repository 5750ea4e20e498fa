// Data that stays fresh: loaded once, and again whenever the control plane says that something of
// its kind changed.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";

export type Kind = "devices" | "deployments";
type Listener = (changed: Set<string>) => void;

const listeners = new Set<Listener>();
let source: EventSource | null = null;

function connect() {
  if (source) return;
  source = new EventSource("/console/events");
  source.onmessage = (event) => {
    const { changed } = JSON.parse(event.data as string) as { changed: string[] };
    for (const listener of listeners) listener(new Set(changed));
  };
}

export function disconnect() {
  source?.close();
  source = null;
}

export interface Live<T> {
  data: T | undefined;
  error: Error | undefined;
  reload: () => void;
}

// `load` runs again where one of `inputs` changes, and on changes of `kinds`.
export function useLive<T>(load: () => Promise<T>, inputs: unknown[], kinds: Kind[] = []): Live<T> {
  const [data, setData] = useState<T>();
  const [error, setError] = useState<Error>();
  const turn = useRef(0);
  const reload = useCallback(() => {
    const mine = ++turn.current;
    load().then(
      (value) => {
        if (mine !== turn.current) return; // a later load is under way
        setData(() => value);
        setError(undefined);
      },
      (problem: Error) => {
        if (mine === turn.current) setError(problem);
      },
    );
  }, inputs);
  useEffect(() => {
    reload(); // what was there stays until the new is: a page that blinks cannot be read
    if (kinds.length === 0) return;
    connect();
    const listener: Listener = (changed) => {
      if (kinds.some((kind) => changed.has(kind))) reload();
    };
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
    };
  }, [reload]);
  return { data, error, reload };
}
