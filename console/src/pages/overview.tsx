// The fleet at a glance.
import { all, call } from "../api";
import { useLive } from "../live";
import { Loaded, Page, StackedBar, Status, Table } from "../ui";
import { deploymentColumns, type Deployment } from "./deployments";
import { isOver, rolloutColumns, type RolloutSummary } from "./rollouts";

interface VersionCount {
  componentName: string;
  componentVersion: string;
  devices: number;
  broken: number;
}
interface Overview {
  healthy: number;
  unhealthy: number;
  unreachable: number;
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
        { name: "Component", cell: (row) => row.name },
        {
          name: "Devices by version",
          cell: (row) => (
            <StackedBar
              parts={row.versions.flatMap((version) => [
                { name: version.componentVersion, count: version.devices - version.broken },
                ...(version.broken > 0
                  ? [{ name: `${version.componentVersion} broken`, count: version.broken, bad: true }]
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
                <a
                  href={`#/devices?component=${encodeURIComponent(row.name)}&version=${encodeURIComponent(version.componentVersion)}`}
                >
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

function Number({ value, text, href }: { value: number; text: string; href: string }) {
  return (
    <a class="number" href={href}>
      <b>{value}</b> {text}
    </a>
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
            <div class="numbers">
              <Number
                value={fleet.healthy + fleet.unhealthy + fleet.unreachable + fleet.new}
                text="devices"
                href="#/devices"
              />
              <Number value={fleet.healthy} text="healthy" href="#/devices?status=HEALTHY" />
              <Number value={fleet.unhealthy} text="unhealthy" href="#/devices?status=UNHEALTHY" />
              <Number value={fleet.unreachable} text="unreachable" href="#/devices?status=UNREACHABLE" />
              <Number value={fleet.new} text="never heard of" href="#/devices?status=NEW" />
              <Number value={fleet.thingGroups} text="groups" href="#/groups" />
            </div>
            <h2>Versions</h2>
            <Versions counts={fleet.components} />
          </>
        )}
      </Loaded>
      <h2>Rollouts in progress</h2>
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
      <h2>Deployments in progress</h2>
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
    </Page>
  );
}
