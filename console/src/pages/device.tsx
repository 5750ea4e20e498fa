// One device: whether it is there, its groups, what runs on it, why its last deployment failed, what
// its models do, what it measures.
import { all, ApiError, call } from "../api";
import { useLive } from "../live";
import { address, deploymentLink, Empty, Facts, Loaded, Page, Panel, Pill, Status, Table, targetLink, Time, type Column } from "../ui";
import { DeviceMetrics } from "./device_metrics";
import { UseNumbers, type Use } from "./model";
import { datasetLink, modelAddress, type Running } from "./models";

interface Installed {
  componentName: string;
  componentVersion?: string;
  lifecycleState?: string;
  lifecycleStateDetails?: string;
  lifecycleStatusCodes?: string[];
  isRoot: boolean;
  lastStatusChangeTimestamp: number;
}
interface Effective {
  deploymentId: string;
  deploymentName: string;
  targetArn: string;
  coreDeviceExecutionStatus: string;
  reason?: string;
  statusDetails?: { errorStack: string[]; errorTypes: string[] };
  modifiedTimestamp: number;
}
interface Reachability {
  status: string;
  connected: boolean;
  since?: number;
  lastSeen?: number;
  freeDiskBytes?: number;
  componentHistory?: History;
}
// Counted by the device: since when, what of it in the last day, and the last failure with its log.
interface History {
  since: number;
  errors: number;
  restarts: number;
  lastFailure?: { componentName: string; version: string; code: string; reason: string; timestamp: number; log: string[] };
}
interface Thing {
  described: { attributes?: Record<string, string> };
  groups: { groupName: string }[];
  reach: Reachability;
}
interface ServedModel extends Use {
  model: string;
  version: string;
  first: number;
  last: number;
}

const at = (name: string) => `/greengrass/v2/coreDevices/${encodeURIComponent(name)}`;
const kFailed = new Set(["FAILED", "REJECTED", "TIMED_OUT"]);
const kSick = new Set(["BROKEN", "ERRORED"]);

const deploymentColumns: Column<Effective>[] = [
  {
    name: "Deployment",
    cell: (row) => deploymentLink(row.deploymentId, row.deploymentName),
  },
  { name: "Target", cell: (row) => targetLink(row.targetArn) },
  { name: "Status", cell: (row) => <Status value={row.coreDeviceExecutionStatus} /> },
  { name: "Reason", cell: (row) => row.reason ?? "" },
  { name: "When", cell: (row) => <Time seconds={row.modifiedTimestamp} /> },
];

const componentColumns: Column<Installed>[] = [
  {
    name: "Component",
    cell: (row) => <a href={`#/components/${encodeURIComponent(row.componentName)}`}>{row.componentName}</a>,
  },
  { name: "Version", cell: (row) => row.componentVersion ?? "" },
  { name: "State", cell: (row) => row.lifecycleState && <Status value={row.lifecycleState} /> },
  { name: "Since", cell: (row) => <Time seconds={row.lastStatusChangeTimestamp} /> },
  { name: "Details", cell: (row) => [row.lifecycleStatusCodes?.join(" "), row.lifecycleStateDetails].filter(Boolean).join(": ") },
  { name: "Asked for", cell: (row) => (row.isRoot ? "yes" : "as a dependency") },
];

// What the device says of itself; null where it never did.
async function reported(name: string) {
  try {
    return {
      device: await call<Record<string, string | number>>("greengrass", "GET", at(name)),
      components: await all<Installed>("greengrass", `${at(name)}/installedComponents`, "installedComponents", {
        topologyFilter: "ALL",
      }),
    };
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

function Presence({ reach }: { reach: Reachability }) {
  if (reach.connected) return <Pill kind="good">connected</Pill>;
  if (reach.status === "NEVER_REPORTED" && !reach.lastSeen) return <Pill kind="neutral">never connected</Pill>;
  return <Pill kind={reach.status === "UNREACHABLE" ? "bad" : "neutral"}>away</Pill>;
}

function Head({ thing, core }: { thing: Thing; core: Awaited<ReturnType<typeof reported>> | undefined }) {
  const { reach, groups } = thing;
  const history = reach.componentHistory;
  const text = (name: string) => (core ? String(core.device[name] ?? "") : "");
  const attributes = Object.entries(thing.described.attributes ?? {});
  return (
    <Facts
      facts={[
        ["Connection", <><Presence reach={reach} /> {reach.since ? <>since <Time seconds={reach.since} /></> : ""}</>],
        ["Health", core && <Status value={text("status")} />],
        [
          "In a day",
          history && `${history.errors} errors of components, ${history.restarts} restarts`,
        ],
        ["Free disk", reach.freeDiskBytes !== undefined && `${(reach.freeDiskBytes / 1e9).toFixed(1)} GB`],
        ["Last report", core && <Time seconds={Number(core.device["lastStatusUpdateTimestamp"])} />],
        ["Nucleus", text("coreVersion")],
        ["Platform", [text("platform"), text("architecture"), text("runtime")].filter(Boolean).join(" ")],
        [
          "Groups",
          groups.length > 0
            ? groups.map((group) => (
                <a key={group.groupName} class="tag" href={`#/groups/${encodeURIComponent(group.groupName)}`}>
                  {group.groupName}
                </a>
              ))
            : "in none",
        ],
        [
          "Attributes",
          attributes.length > 0 &&
            attributes.map(([key, value]) => (
              <a key={key} class="tag" href={address("devices", { text: value })}>
                {key}={value}
              </a>
            )),
        ],
      ]}
    />
  );
}

// The end of what a component wrote before it failed; all of its log stays on the device.
function FailureLog({ failure }: { failure: NonNullable<History["lastFailure"]> }) {
  const name = `Log of ${failure.componentName} ${failure.version}`;
  return (
    <>
      <p>
        {failure.componentName} {failure.version}, <Time seconds={failure.timestamp / 1000} />
        {failure.code && (
          <>
            {" "}
            <code>{failure.code}</code>
          </>
        )}
      </p>
      {failure.log.length > 0 ? (
        <pre class="code log" tabIndex={0} role="region" aria-label={name}>
          {failure.log.join("\n")}
        </pre>
      ) : (
        <p class="problem">{failure.reason}</p>
      )}
    </>
  );
}

function LastFailure({ deployments, sick, history }: { deployments: Effective[]; sick: Installed[]; history?: History }) {
  const failed = deployments.find((one) => kFailed.has(one.coreDeviceExecutionStatus));
  const failure = history?.lastFailure;
  if (!failed && !failure && sick.length === 0) return null;
  const stack = failed?.statusDetails?.errorStack ?? [];
  const types = failed?.statusDetails?.errorTypes ?? [];
  return (
    <Panel title="Last failure">
      {failed && (
        <>
          <p>
            <Status value={failed.coreDeviceExecutionStatus} />{" "}
            {deploymentLink(failed.deploymentId, failed.deploymentName)},{" "}
            <Time seconds={failed.modifiedTimestamp} />
          </p>
          <p class="problem">{failed.reason ?? "The device gave no reason."}</p>
          {stack.length > 0 && (
            <ol class="stack" aria-label="Error stack">
              {stack.map((code, index) => (
                <li key={index}>
                  <code>{code}</code>
                </li>
              ))}
            </ol>
          )}
          {types.length > 0 && <p class="quiet">Kind: {types.join(", ")}</p>}
        </>
      )}
      {sick.map((one) => (
        <p key={one.componentName} class="problem">
          {one.componentName} is {one.lifecycleState}: {one.lifecycleStateDetails ?? "no reason given"}
        </p>
      ))}
      {failure && <FailureLog failure={failure} />}
      <p class="quiet">
        Whole logs stay on the device; there: <code>skerry logs {failure?.componentName ?? sick[0]?.componentName ?? "COMPONENT"}</code>
      </p>
    </Panel>
  );
}

function Models({ name }: { name: string }) {
  const live = useLive(
    async () => ({
      running: await all<Running>("skerry", "/skerry/v1/runningModels", "running", { thing: name }),
      served: (await call<{ models: ServedModel[] }>("skerry", "GET", `/skerry/v1/coreDevices/${encodeURIComponent(name)}/models`)).models,
    }),
    [name],
    ["devices"],
  );
  const componentOf = (running: Running[], served: ServedModel) =>
    running.find((one) => one.model.model === served.model && one.model.version === served.version);
  return (
    <Loaded live={live}>
      {({ running, served }) =>
        running.length + served.length > 0 && (
          <Panel title="Models">
            <Table
              caption="Models on this device"
              empty="Nothing of what it serves was published with a provenance."
              id={(row) => row.model.component}
              rows={running}
              columns={[
                {
                  name: "Model",
                  cell: (row) => <a href={modelAddress(row.model.component, row.model.version)}>{row.model.component} {row.model.version}</a>,
                },
                { name: "State", cell: (row) => <Status value={row.state} /> },
                { name: "Trained", cell: (row) => row.model.trainedOn ?? "" },
                { name: "Data set", cell: (row) => datasetLink(row.model) },
              ]}
            />
            {[...served]
              .sort((a, b) => b.last - a.last)
              .map((one) => {
                const now = componentOf(running, one);
                return (
                  <details key={`${one.model} ${one.version}`} open={now !== undefined}>
                    <summary>
                      What {one.model} {one.version} does here{now ? "" : " (no longer running)"}
                    </summary>
                    <p class="quiet">
                      From <Time seconds={one.first} /> to <Time seconds={one.last} />
                    </p>
                    <UseNumbers use={one} />
                  </details>
                );
              })}
          </Panel>
        )
      }
    </Loaded>
  );
}

export function DevicePage({ name }: { name: string }) {
  const path = `/things/${encodeURIComponent(name)}`;
  const thing = useLive<Thing>(
    async () => ({
      described: await call("iot", "GET", path),
      groups: await all("iot", `${path}/thing-groups`, "thingGroups"),
      reach: await call("skerry", "GET", `/skerry/v1/coreDevices/${encodeURIComponent(name)}`),
    }),
    [name],
    ["devices"],
  );
  const core = useLive(() => reported(name), [name], ["devices"]);
  const deployments = useLive(
    () => all<Effective>("greengrass", `${at(name)}/effectiveDeployments`, "effectiveDeployments", {}, 100),
    [name],
    ["deployments", "devices"],
  );
  const sick = (core.data?.components ?? []).filter((one) => kSick.has(one.lifecycleState ?? ""));
  return (
    <Page title={name} above={<a href="#/devices">Devices</a>}>
      <Loaded live={thing}>{(data) => <Head thing={data} core={core.data} />}</Loaded>
      {deployments.data && <LastFailure deployments={deployments.data} sick={sick} history={thing.data?.reach.componentHistory} />}
      <Panel title="Components">
        <Loaded live={core}>
          {(data) =>
            data ? (
              <Table caption="Components" empty="It runs nothing." id={(row) => row.componentName} rows={data.components} columns={componentColumns} />
            ) : (
              <Empty>It has never connected: nothing is known of what runs on it.</Empty>
            )
          }
        </Loaded>
      </Panel>
      <Models name={name} />
      <DeviceMetrics thing={name} />
      <Panel title="Deployments">
        <Loaded live={deployments}>
          {(list) => (
            <Table caption="Deployments" empty="It was given none." id={(row) => row.deploymentId} rows={list} columns={deploymentColumns} />
          )}
        </Loaded>
      </Panel>
    </Page>
  );
}
