// The fleet at a glance.
import { all, call } from "../api";
import { useLive } from "../live";
import { BigNumber, StackedBar } from "../charts";
import { address, Loaded, Page, Panel, Status, Table } from "../ui";
import { deploymentColumns, type Deployment } from "./deployments";
import { isOver, rolloutColumns, type RolloutSummary } from "./rollouts";

export interface VersionCount {
  componentName: string;
  componentVersion: string;
  devices: number;
  broken: number;
}
interface Overview {
  healthy: number;
  unhealthy: number;
  unreachable: number;
  connected: number;
  new: number;
  thingGroups: number;
  activeDeployments: number;
  components: VersionCount[];
}

function byComponent(counts: VersionCount[]): Map<string, VersionCount[]> {
  const grouped = new Map<string, VersionCount[]>();
  for (const count of counts) {
    grouped.set(count.componentName, [...(grouped.get(count.componentName) ?? []), count]);
  }
  return grouped;
}

function Versions({ counts }: { counts: VersionCount[] }) {
  const rows = [...byComponent(counts)].map(([name, versions]) => ({ name, versions }));
  return (
    <Table
      caption="Component versions on devices"
      empty="No device has reported a component."
      id={(row) => row.name}
      rows={rows}
      columns={[
        { name: "Component", cell: (row) => <a href={`#/components/${encodeURIComponent(row.name)}`}>{row.name}</a> },
        {
          name: "Devices by version",
          cell: (row) => (
            <StackedBar
              parts={row.versions.flatMap((version) => [
                { name: version.componentVersion, count: version.devices - version.broken },
                ...(version.broken > 0
                  ? [{ name: `${version.componentVersion} broken`, count: version.broken, kind: "bad" as const }]
                  : []),
              ])}
            />
          ),
        },
        {
          name: "Versions",
          cell: (row) =>
            row.versions.map((version) => (
              <div key={version.componentVersion}>
                <a href={address("devices", { component: row.name, version: version.componentVersion })}>
                  {version.componentVersion}
                </a>{" "}
                on {version.devices}
                {version.broken > 0 && (
                  <>
                    , <Status value="BROKEN" /> on {version.broken}
                  </>
                )}
              </div>
            )),
        },
      ]}
    />
  );
}

function Health({ fleet }: { fleet: Overview }) {
  const { healthy, unhealthy, unreachable } = fleet;
  const devices = healthy + unhealthy + unreachable + fleet.new;
  return (
    <>
      <div class="numbers">
        <BigNumber value={devices} text="devices" href="#/devices" />
        <BigNumber value={healthy} text="healthy" href="#/devices?status=HEALTHY" kind={healthy > 0 ? "good" : ""} />
        <BigNumber value={unhealthy} text="unhealthy" href="#/devices?status=UNHEALTHY" kind={unhealthy > 0 ? "bad" : ""} />
        <BigNumber value={unreachable} text="unreachable" href="#/devices?status=UNREACHABLE" kind={unreachable > 0 ? "bad" : ""} />
        <BigNumber value={fleet.connected} text="connected now" href="#/devices?status=CONNECTED" />
        <BigNumber value={fleet.new} text="never heard of" href="#/devices?status=NEW" />
        <BigNumber value={fleet.thingGroups} text="groups" href="#/groups" />
      </div>
      <StackedBar
        parts={[
          { name: "healthy", count: healthy, kind: "good" as const },
          { name: "unhealthy", count: unhealthy, kind: "bad" as const },
          { name: "unreachable", count: unreachable, kind: "bad" as const },
          { name: "never heard of", count: fleet.new, kind: "quiet" as const },
        ].filter((part) => part.count > 0)}
      />
    </>
  );
}

export function OverviewPage() {
  const live = useLive(() => call<Overview>("skerry", "GET", "/skerry/v1/overview"), [], [
    "devices",
    "deployments",
  ]);
  const deployments = useLive(
    () =>
      all<Deployment>("greengrass", "/greengrass/v2/deployments", "deployments", {
        historyFilter: "LATEST_ONLY",
      }, 50),
    [],
    ["deployments"],
  );
  const rollouts = useLive(
    () => call<{ rollouts: RolloutSummary[] }>("skerry", "GET", "/skerry/v1/rollouts"),
    [],
    ["deployments"],
  );
  return (
    <Page title="Fleet">
      <Loaded live={live}>
        {(fleet) => (
          <>
            <Health fleet={fleet} />
            <Panel title="Versions on devices">
              <Versions counts={fleet.components} />
            </Panel>
          </>
        )}
      </Loaded>
      <Panel title="Rollouts in progress" beside={<a href="#/rollouts">All rollouts</a>}>
        <Loaded live={rollouts}>
          {(page) => (
            <Table
              caption="Rollouts in progress"
              empty="None."
              id={(row) => row.rolloutId}
              rows={page.rollouts.filter((one) => !isOver(one.phase))}
              columns={rolloutColumns}
            />
          )}
        </Loaded>
      </Panel>
      <Panel title="Deployments in progress" beside={<a href="#/deployments">All deployments</a>}>
        <Loaded live={deployments}>
          {(list) => (
            <Table
              caption="Deployments in progress"
              empty="Every target has what it was given."
              id={(row) => row.deploymentId}
              rows={list.filter((one) => one.deploymentStatus === "ACTIVE")}
              columns={deploymentColumns}
            />
          )}
        </Loaded>
      </Panel>
    </Page>
  );
}
