// Devices: a search over names and attributes, groups, versions and health.
import { call } from "../api";
import { useLive } from "../live";
import { Choice, deviceLink, Field, Loaded, Page, SearchForm, Status, Table, Time, useSearch, type Column } from "../ui";

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

export const deviceColumns: Column<DeviceRow>[] = [
  { name: "Device", cell: (row) => deviceLink(row.thingName) },
  { name: "Status", cell: (row) => <Status value={row.status} /> },
  { name: "Last seen", cell: (row) => <Time seconds={row.lastSeen} /> },
  { name: "Platform", cell: (row) => [row.platform, row.architecture].filter(Boolean).join(" ") },
  {
    name: "Attributes",
    cell: (row) =>
      Object.entries(row.attributes)
        .map(([name, value]) => `${name}=${value}`)
        .join(" "),
  },
];

const kAnything = { text: "", group: "", component: "", version: "", status: "" };

export function DevicesPage() {
  const { filter, asked, change, pages } = useSearch("devices", kAnything);
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
      <SearchForm>
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
            { value: "CONNECTED", text: "connected now" },
            { value: "AWAY", text: "not connected" },
          ]}
        />
      </SearchForm>
      <Loaded live={live}>
        {(page) => (
          <>
            <Table caption="Devices" empty="No device fits." id={(row) => row.thingName} rows={page.devices} columns={deviceColumns} />
            <pages.Pager next={page.nextToken} />
          </>
        )}
      </Loaded>
    </Page>
  );
}
