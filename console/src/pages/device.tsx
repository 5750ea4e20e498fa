// One device: its groups, what runs on it, and what became of its deployments.
import { all, ApiError, call } from "../api";
import { useLive } from "../live";
import { Loaded, Page, Status, Table, Time, type Column } from "../ui";

interface Installed {
  componentName: string;
  componentVersion: string;
  lifecycleState: string;
  lifecycleStateDetails?: string;
  isRoot: boolean;
}
interface Effective {
  deploymentId: string;
  deploymentName: string;
  targetArn: string;
  coreDeviceExecutionStatus: string;
  reason?: string;
  modifiedTimestamp: number;
}

const at = (name: string) => `/greengrass/v2/coreDevices/${encodeURIComponent(name)}`;

const deploymentColumns: Column<Effective>[] = [
  {
    name: "Deployment",
    cell: (row) => (
      <a href={`#/deployments/${row.deploymentId}`}>
        {row.deploymentName || row.deploymentId}
      </a>
    ),
  },
  { name: "Target", cell: (row) => row.targetArn.split(":").at(-1) },
  { name: "Status", cell: (row) => <Status value={row.coreDeviceExecutionStatus} /> },
  { name: "Reason", cell: (row) => row.reason ?? "" },
  { name: "When", cell: (row) => <Time seconds={row.modifiedTimestamp} /> },
];

function Reported({
  device,
  components,
}: {
  device: Record<string, string | number>;
  components: Installed[];
}) {
  return (
    <>
      <p>
        <Status value={String(device["status"])} /> nucleus {String(device["coreVersion"])} on{" "}
        {String(device["platform"])} {String(device["architecture"])}, reported{" "}
        <Time seconds={Number(device["lastStatusUpdateTimestamp"])} />
      </p>
      <Table
        caption="Components"
        empty="It runs nothing."
        id={(row) => row.componentName}
        rows={components}
        columns={[
          { name: "Component", cell: (row) => row.componentName },
          { name: "Version", cell: (row) => row.componentVersion },
          { name: "State", cell: (row) => <Status value={row.lifecycleState} /> },
          { name: "Details", cell: (row) => row.lifecycleStateDetails ?? "" },
          { name: "Asked for", cell: (row) => (row.isRoot ? "yes" : "as a dependency") },
        ]}
      />
    </>
  );
}

// What the device says of itself; null where it never did.
async function reported(name: string) {
  try {
    return {
      device: await call<Record<string, string | number>>("greengrass", "GET", at(name)),
      components: await all<Installed>(
        "greengrass",
        `${at(name)}/installedComponents`,
        "installedComponents",
        { topologyFilter: "ALL" },
      ),
    };
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

export function DevicePage({ name }: { name: string }) {
  const thing = useLive(
    async () => ({
      described: await call<{ attributes: Record<string, string> }>(
        "iot",
        "GET",
        `/things/${encodeURIComponent(name)}`,
      ),
      groups: await all<{ groupName: string }>(
        "iot",
        `/things/${encodeURIComponent(name)}/thing-groups`,
        "thingGroups",
      ),
    }),
    [name],
    ["devices"],
  );
  const core = useLive(() => reported(name), [name], ["devices"]);
  const deployments = useLive(
    () => all<Effective>("greengrass", `${at(name)}/effectiveDeployments`, "effectiveDeployments"),
    [name],
    ["deployments", "devices"],
  );
  return (
    <Page title={name}>
      <Loaded live={thing}>
        {(data) => (
          <p>
            {data.groups.length > 0 ? "In " : "In no group"}
            {data.groups.map((group) => (
              <a key={group.groupName} class="tag" href={`#/devices?group=${encodeURIComponent(group.groupName)}`}>
                {group.groupName}
              </a>
            ))}
            {Object.entries(data.described.attributes ?? {}).map(([key, value]) => (
              <span key={key} class="tag">
                {key}={value}
              </span>
            ))}
          </p>
        )}
      </Loaded>
      <h2>Components</h2>
      <Loaded live={core}>
        {(data) =>
          data ? (
            <Reported {...data} />
          ) : (
            <p class="quiet">It has never connected: nothing is known of what runs on it.</p>
          )
        }
      </Loaded>
      <h2>Deployments</h2>
      <Loaded live={deployments}>
        {(list) => (
          <Table
            caption="Deployments"
            empty="It was given none."
            id={(row) => row.deploymentId}
            rows={list}
            columns={deploymentColumns}
          />
        )}
      </Loaded>
    </Page>
  );
}
