// One deployment: what it wants, and how far each device is.
import { useState } from "preact/hooks";
import { call } from "../api";
import { StackedBar, type Part } from "../charts";
import { useLive } from "../live";
import { Choice, Confirmed, deviceLink, Facts, Loaded, Page, Panel, Status, Table, targetLink, Time, usePages } from "../ui";
import type { Deployment } from "./deployments";

interface Details extends Deployment {
  iotJobId: string;
  components: Record<string, { componentVersion: string }>;
  tags?: Record<string, string>;
}
interface Job {
  job: { jobProcessDetails: Record<string, number> };
}
interface Execution {
  thingArn: string;
  jobExecutionSummary: { status: string; lastUpdatedAt: number };
}

// The counts of a job by AWS's names, and the status that each counts.
const kCounts: { count: string; status: string; kind?: Part["kind"] }[] = [
  { count: "numberOfSucceededThings", status: "SUCCEEDED", kind: "good" },
  { count: "numberOfInProgressThings", status: "IN_PROGRESS", kind: "busy" },
  { count: "numberOfQueuedThings", status: "QUEUED", kind: "quiet" },
  { count: "numberOfFailedThings", status: "FAILED", kind: "bad" },
  { count: "numberOfRejectedThings", status: "REJECTED", kind: "bad" },
  { count: "numberOfTimedOutThings", status: "TIMED_OUT", kind: "bad" },
  { count: "numberOfCanceledThings", status: "CANCELED", kind: "quiet" },
  { count: "numberOfRemovedThings", status: "REMOVED", kind: "quiet" },
];

function partsOf(counts: Record<string, number>): Part[] {
  return kCounts
    .map(({ count, status, kind }) => ({ name: status, count: counts[count] ?? 0, kind }))
    .filter((part) => part.count > 0);
}

function Devices({ jobId, parts }: { jobId: string; parts: Part[] }) {
  const [status, setStatus] = useState("");
  const pages = usePages();
  const live = useLive(
    () =>
      call<{ executionSummaries: Execution[]; nextToken?: string }>("iot", "GET", `/jobs/${encodeURIComponent(jobId)}/things`, {
        query: { status, maxResults: 50, nextToken: pages.token },
      }),
    [jobId, status, pages.token],
    ["deployments", "devices"],
  );
  return (
    <>
      <div class="filters">
        <Choice
          label="Show"
          value={status}
          onChange={(value) => {
            setStatus(value);
            pages.restart();
          }}
          options={[
            { value: "", text: "all devices" },
            ...parts.map((part) => ({ value: part.name, text: `${part.name} (${part.count})` })),
          ]}
        />
      </div>
      <Loaded live={live}>
        {(page) => (
          <>
            <Table
              caption="Devices"
              empty="No device is here."
              id={(row) => row.thingArn}
              rows={page.executionSummaries}
              columns={[
                { name: "Device", cell: (row) => deviceLink(row.thingArn.split("/").at(-1) ?? "") },
                { name: "Status", cell: (row) => <Status value={row.jobExecutionSummary.status} /> },
                { name: "Last change", cell: (row) => <Time seconds={row.jobExecutionSummary.lastUpdatedAt} /> },
              ]}
            />
            <pages.Pager next={page.nextToken} />
          </>
        )}
      </Loaded>
    </>
  );
}

function Wanted({ components }: { components: Details["components"] }) {
  return (
    <Table
      caption="Components"
      empty="None: it removes what the target had."
      id={([name]) => name}
      rows={Object.entries(components)}
      columns={[
        { name: "Component", cell: ([name]) => <a href={`#/components/${encodeURIComponent(name)}`}>{name}</a> },
        { name: "Version", cell: ([, wanted]) => wanted.componentVersion },
      ]}
    />
  );
}

export function DeploymentPage({ id, mayChange }: { id: string; mayChange: boolean }) {
  const path = `/greengrass/v2/deployments/${encodeURIComponent(id)}`;
  const live = useLive(
    async () => {
      const deployment = await call<Details>("greengrass", "GET", path);
      const { job } = await call<Job>("iot", "GET", `/jobs/${encodeURIComponent(deployment.iotJobId)}`);
      return { deployment, parts: partsOf(job.jobProcessDetails) };
    },
    [id],
    ["deployments", "devices"],
  );
  return (
    <Page title="Deployment" above={<a href="#/deployments">Deployments</a>}>
      <Loaded live={live}>
        {({ deployment, parts }) => (
          <>
            <Facts
              facts={[
                ["Status", <Status value={deployment.deploymentStatus} />],
                ["Name", deployment.deploymentName],
                ["Target", <>{targetLink(deployment.targetArn)}, revision {deployment.revisionId}</>],
                ["Created", <Time seconds={deployment.creationTimestamp} />],
                ["Latest of its target", deployment.isLatestForTarget ? "yes" : "no, a later one replaced it"],
                [
                  "Takes back",
                  deployment.tags?.["skerry:rolledBackFrom"] && (
                    <a href={`#/rollouts/${encodeURIComponent(deployment.tags["skerry:rolledBackFrom"])}`}>a rollout</a>
                  ),
                ],
              ]}
            />
            {mayChange && deployment.deploymentStatus === "ACTIVE" && (
              <div class="actions">
                <Confirmed
                  danger
                  action="Cancel"
                  question="Devices that have not begun it will never get it; those that have begun finish."
                  run={() => call("greengrass", "POST", `${path}/cancel`).then(live.reload)}
                />
              </div>
            )}
            <Panel title="Components">
              <Wanted components={deployment.components} />
            </Panel>
            <Panel title="Devices">
              <StackedBar legend parts={parts} />
              <Devices jobId={deployment.iotJobId} parts={parts} />
            </Panel>
          </>
        )}
      </Loaded>
    </Page>
  );
}
