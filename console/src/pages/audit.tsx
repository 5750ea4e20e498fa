// Every change and who made it.
import { useState } from "preact/hooks";
import { call } from "../api";
import { useLive } from "../live";
import { Field, Loaded, Page, Table, Time, usePages } from "../ui";

interface Entry {
  sequence: number;
  at: number;
  actor: string;
  role: string;
  via: string;
  operation: string;
  resource: string;
  requestId: string;
  details: unknown;
}

export function AuditPage() {
  const [actor, setActor] = useState("");
  const [operation, setOperation] = useState("");
  const pages = usePages();
  const live = useLive(
    () =>
      call<{ entries: Entry[]; nextToken?: string }>("skerry", "GET", "/skerry/v1/audit", {
        query: { actor, operation, maxResults: 25, nextToken: pages.token },
      }),
    [actor, operation, pages.token],
    ["deployments", "devices"],
  );
  const change = (set: (text: string) => void) => (text: string) => {
    set(text);
    pages.restart();
  };
  return (
    <Page title="Audit log">
      <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
        <Field label="Who" value={actor} onInput={change(setActor)} />
        <Field label="Operation" value={operation} onInput={change(setOperation)} />
      </form>
      <Loaded live={live}>
        {(page) => (
          <>
            <Table
              caption="Changes"
              empty="Nothing fits."
              id={(row) => String(row.sequence)}
              rows={page.entries}
              columns={[
                { name: "Time", cell: (row) => <Time seconds={row.at} /> },
                { name: "Who", cell: (row) => `${row.actor} (${row.role})` },
                { name: "Via", cell: (row) => row.via },
                { name: "Operation", cell: (row) => row.operation },
                { name: "Resource", cell: (row) => row.resource },
                {
                  name: "Request",
                  cell: (row) => (
                    <details>
                      <summary>{row.requestId.slice(0, 8) || "–"}</summary>
                      <pre>{JSON.stringify(row.details, null, 2)}</pre>
                    </details>
                  ),
                },
              ]}
            />
            <pages.Pager next={page.nextToken} />
          </>
        )}
      </Loaded>
    </Page>
  );
}
