// Devices: a search over names and attributes, groups, versions and health.
import { useEffect, useState } from "preact/hooks";
import { call } from "../api";
import { useLive } from "../live";
import { Choice, Field, Loaded, Page, Status, Table, Time, usePages } from "../ui";

export interface DeviceRow {
  thingName: string;
  attributes: Record<string, string>;
  status: string;
  lastSeen?: number;
  lastStatus?: number;
  nucleusVersion?: string;
  platform?: string;
  architecture?: string;
}

interface Filter {
  text: string;
  group: string;
  component: string;
  version: string;
  status: string;
}

// The part of the address after "#/devices?".
function filterOfAddress(): Filter {
  const query = new URLSearchParams(location.hash.split("?")[1] ?? "");
  const field = (name: string) => query.get(name) ?? "";
  return {
    text: field("text"),
    group: field("group"),
    component: field("component"),
    version: field("version"),
    status: field("status"),
  };
}

function useDelayed<T>(value: T, ms: number): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), ms);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}

export function DevicesPage() {
  const [filter, setFilter] = useState(filterOfAddress);
  const asked = useDelayed(filter, 200);
  const pages = usePages();
  const change = (part: Partial<Filter>) => {
    setFilter({ ...filter, ...part });
    pages.restart();
  };
  const live = useLive(
    () =>
      call<{ devices: DeviceRow[]; nextToken?: string }>("skerry", "GET", "/skerry/v1/devices", {
        query: { ...asked, maxResults: 50, nextToken: pages.token },
      }),
    [asked, pages.token],
    ["devices"],
  );
  return (
    <Page title="Devices">
      <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
        <Field label="Name or attribute" value={filter.text} onInput={(text) => change({ text })} />
        <Field label="Group" value={filter.group} onInput={(group) => change({ group })} />
        <Field label="Component" value={filter.component} onInput={(component) => change({ component })} />
        <Field label="Version" value={filter.version} onInput={(version) => change({ version })} />
        <Choice
          label="Status"
          value={filter.status}
          onChange={(status) => change({ status })}
          options={[
            { value: "", text: "any" },
            { value: "HEALTHY", text: "healthy" },
            { value: "UNHEALTHY", text: "unhealthy" },
            { value: "UNREACHABLE", text: "unreachable" },
            { value: "NEW", text: "never heard of" },
          ]}
        />
      </form>
      <Loaded live={live}>
        {(page) => (
          <>
            <Table
              caption="Devices"
              empty="No device fits."
              id={(row) => row.thingName}
              rows={page.devices}
              columns={[
                {
                  name: "Device",
                  cell: (row) => (
                    <a href={`#/devices/${encodeURIComponent(row.thingName)}`}>{row.thingName}</a>
                  ),
                },
                { name: "Status", cell: (row) => <Status value={row.status} /> },
                { name: "Last seen", cell: (row) => <Time seconds={row.lastSeen} /> },
                {
                  name: "Platform",
                  cell: (row) => [row.platform, row.architecture].filter(Boolean).join(" "),
                },
                {
                  name: "Attributes",
                  cell: (row) =>
                    Object.entries(row.attributes)
                      .map(([name, value]) => `${name}=${value}`)
                      .join(" "),
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
