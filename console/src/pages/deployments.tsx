// What targets should run, newest first, and a form for a new deployment.
import { useState } from "preact/hooks";
import { all, call } from "../api";
import { useLive } from "../live";
import { Choice, Field, Loaded, Page, Problem, Status, Table, Time, usePages, type Column } from "../ui";

export interface Deployment {
  deploymentId: string;
  deploymentName?: string;
  targetArn: string;
  revisionId: string;
  deploymentStatus: string;
  creationTimestamp: number;
  isLatestForTarget: boolean;
}

export const deploymentColumns: Column<Deployment>[] = [
  {
    name: "Deployment",
    cell: (row) => (
      <a href={`#/deployments/${row.deploymentId}`}>{row.deploymentName || row.deploymentId}</a>
    ),
  },
  { name: "Target", cell: (row) => row.targetArn.split(":").at(-1) },
  { name: "Revision", cell: (row) => row.revisionId },
  { name: "Status", cell: (row) => <Status value={row.deploymentStatus} /> },
  { name: "Created", cell: (row) => <Time seconds={row.creationTimestamp} /> },
];

// A deployment replaces all that its target has: the form begins with what it runs now.
function NewDeployment({ done }: { done: (id: string) => void }) {
  const [target, setTarget] = useState("");
  const [component, setComponent] = useState("");
  const [version, setVersion] = useState("");
  const [error, setError] = useState<Error>();
  const targets = useLive(
    async () => (await all<{ groupName: string; groupArn: string }>("iot", "/thing-groups", "thingGroups")),
    [],
  );
  const components = useLive(
    () =>
      all<{ componentName: string; latestVersion: { componentVersion: string } }>(
        "greengrass",
        "/greengrass/v2/components",
        "components",
        { scope: "PRIVATE" },
      ),
    [],
  );
  const submit = async (event: Event) => {
    event.preventDefault();
    setError(undefined);
    try {
      const latest = await all<Deployment>("greengrass", "/greengrass/v2/deployments", "deployments", {
        targetArn: target,
      });
      const now = latest[0]
        ? await call<{ components: Record<string, unknown>; deploymentPolicies: Record<string, unknown> }>(
            "greengrass",
            "GET",
            `/greengrass/v2/deployments/${latest[0].deploymentId}`,
          )
        : { components: {}, deploymentPolicies: {} };
      const before = (now.components[component] ?? {}) as Record<string, unknown>;
      const made = await call<{ deploymentId: string }>("greengrass", "POST", "/greengrass/v2/deployments", {
        body: {
          targetArn: target,
          components: { ...now.components, [component]: { ...before, componentVersion: version } },
          deploymentPolicies: now.deploymentPolicies,
        },
      });
      done(made.deploymentId);
    } catch (problem) {
      setError(problem as Error);
    }
  };
  const choose = (name: string) => {
    setComponent(name);
    const found = components.data?.find((one) => one.componentName === name);
    setVersion(found?.latestVersion.componentVersion ?? "");
  };
  return (
    <details>
      <summary>New deployment</summary>
      <form class="narrow" onSubmit={submit}>
        <Choice
          label="Group"
          value={target}
          onChange={setTarget}
          options={[
            { value: "", text: "choose…" },
            ...(targets.data ?? []).map((one) => ({ value: one.groupArn, text: one.groupName })),
          ]}
        />
        <Choice
          label="Component"
          value={component}
          onChange={choose}
          options={[
            { value: "", text: "choose…" },
            ...(components.data ?? []).map((one) => ({ value: one.componentName, text: one.componentName })),
          ]}
        />
        <Field label="Version" value={version} onInput={setVersion} required />
        <p class="quiet">What else the group runs stays as it is.</p>
        {error && <Problem error={error} />}
        <button class="primary" disabled={!target || !component || !version}>
          Deploy
        </button>
      </form>
    </details>
  );
}

export function DeploymentsPage({ mayChange }: { mayChange: boolean }) {
  const [history, setHistory] = useState("LATEST_ONLY");
  const pages = usePages();
  const live = useLive(
    () =>
      call<{ deployments: Deployment[]; nextToken?: string }>(
        "greengrass",
        "GET",
        "/greengrass/v2/deployments",
        { query: { historyFilter: history, maxResults: 50, nextToken: pages.token } },
      ),
    [history, pages.token],
    ["deployments"],
  );
  return (
    <Page title="Deployments">
      {mayChange && <NewDeployment done={(id) => (location.hash = `#/deployments/${id}`)} />}
      <form class="filters">
        <Choice
          label="Show"
          value={history}
          onChange={(value) => {
            setHistory(value);
            pages.restart();
          }}
          options={[
            { value: "LATEST_ONLY", text: "the latest of each target" },
            { value: "ALL", text: "all" },
          ]}
        />
      </form>
      <Loaded live={live}>
        {(page) => (
          <>
            <Table
              caption="Deployments"
              empty="None yet."
              id={(row) => row.deploymentId}
              rows={page.deployments}
              columns={deploymentColumns}
            />
            <pages.Pager next={page.nextToken} />
          </>
        )}
      </Loaded>
    </Page>
  );
}
