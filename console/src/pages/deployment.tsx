// One deployment: what it wants, and how far each device is.
import { all, call } from "../api";
import { useLive } from "../live";
import { Confirmed, Loaded, Page, StackedBar, Status, Table, Time } from "../ui";
import type { Deployment } from "./deployments";

interface Details extends Deployment {
  iotJobId: string;
  components: Record<string, { componentVersion: string }>;
}
interface Execution {
  thingArn: string;
  jobExecutionSummary: { status: string; lastUpdatedAt: number };
}

const kBad = new Set(["FAILED", "TIMED_OUT", "REJECTED"]);

function counts(executions: Execution[]) {
  const byStatus = new Map<string, number>();
  for (const one of executions) {
    const status = one.jobExecutionSummary.status;
    byStatus.set(status, (byStatus.get(status) ?? 0) + 1);
  }
  return [...byStatus].map(([name, count]) => ({ name, count, bad: kBad.has(name) }));
}

export function DeploymentPage({ id, mayChange }: { id: string; mayChange: boolean }) {
  const path = `/greengrass/v2/deployments/${encodeURIComponent(id)}`;
  const live = useLive(
    async () => {
      const deployment = await call<Details>("greengrass", "GET", path);
      const executions = await all<Execution>(
        "iot",
        `/jobs/${encodeURIComponent(deployment.iotJobId)}/things`,
        "executionSummaries",
      );
      return { deployment, executions };
    },
    [id],
    ["deployments", "devices"],
  );
  return (
    <Page title="Deployment">
      <Loaded live={live}>
        {({ deployment, executions }) => (
          <>
            <p>
              <Status value={deployment.deploymentStatus} /> {deployment.deploymentName} revision{" "}
              {deployment.revisionId} of <b>{deployment.targetArn.split(":").at(-1)}</b>, created{" "}
              <Time seconds={deployment.creationTimestamp} />
            </p>
            {mayChange && deployment.deploymentStatus === "ACTIVE" && (
              <Confirmed
                danger
                action="Cancel"
                question="Devices that have not begun it will never get it; those that have begun finish."
                run={() => call("greengrass", "POST", `${path}/cancel`).then(live.reload)}
              />
            )}
            <h2>Components</h2>
            <Table
              caption="Components"
              empty="None: it removes what the target had."
              id={([name]) => name}
              rows={Object.entries(deployment.components)}
              columns={[
                { name: "Component", cell: ([name]) => name },
                { name: "Version", cell: ([, wanted]) => wanted.componentVersion },
              ]}
            />
            <h2>Devices</h2>
            <StackedBar parts={counts(executions)} />
            <Table
              caption="Devices"
              empty="No device is in the target."
              id={(row) => row.thingArn}
              rows={executions}
              columns={[
                {
                  name: "Device",
                  cell: (row) => {
                    const name = row.thingArn.split("/").at(-1) ?? "";
                    return <a href={`#/devices/${encodeURIComponent(name)}`}>{name}</a>;
                  },
                },
                { name: "Status", cell: (row) => <Status value={row.jobExecutionSummary.status} /> },
                {
                  name: "Last change",
                  cell: (row) => <Time seconds={row.jobExecutionSummary.lastUpdatedAt} />,
                },
              ]}
            />
          </>
        )}
      </Loaded>
    </Page>
  );
}
