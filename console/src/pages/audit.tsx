// Every change and who made it.
import { call } from "../api";
import { useLive } from "../live";
import { Field, Loaded, Page, SearchForm, Table, Time, useSearch } from "../ui";

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

// Of a field that has a day and a time of this place; nothing where it is not whole.
function seconds(local: string): number | undefined {
  const at = Date.parse(local);
  return Number.isNaN(at) ? undefined : Math.floor(at / 1000);
}

const kAnything = { actor: "", text: "", from: "", until: "" };

export function AuditPage() {
  const { filter, asked, change, pages } = useSearch("audit", kAnything);
  const people = useLive(
    async () => {
      const { operators } = await call<{ operators: { name: string }[] }>("skerry", "GET", "/skerry/v1/operators");
      const { accessKeys } = await call<{ accessKeys: { name: string }[] }>("skerry", "GET", "/skerry/v1/accessKeys");
      return [...new Set(["root", ...operators, ...accessKeys].map((one) => (typeof one === "string" ? one : one.name)))];
    },
    [],
  );
  const live = useLive(
    () =>
      call<{ entries: Entry[]; nextToken?: string }>("skerry", "GET", "/skerry/v1/audit", {
        query: {
          actor: asked.actor,
          text: asked.text,
          from: seconds(asked.from),
          until: seconds(asked.until),
          maxResults: 25,
          nextToken: pages.token,
        },
      }),
    [asked, pages.token],
    ["deployments", "devices"],
  );
  return (
    <Page title="Audit log">
      <SearchForm>
        <Field label="Who" value={filter.actor} onInput={(actor) => change({ actor })} choices={people.data ?? []} />
        <Field label="What, or of what" value={filter.text} onInput={(text) => change({ text })} />
        <Field label="From" type="datetime-local" value={filter.from} onInput={(from) => change({ from })} />
        <Field label="Until" type="datetime-local" value={filter.until} onInput={(until) => change({ until })} />
      </SearchForm>
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
                      <summary>{row.requestId.slice(0, 8) || "details"}</summary>
                      <pre class="code">{JSON.stringify(row.details, null, 2)}</pre>
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
