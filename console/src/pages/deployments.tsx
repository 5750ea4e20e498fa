// What targets should run, newest first, and a form for a new deployment.
import { useState } from "preact/hooks";
import { all, call } from "../api";
import { useLive } from "../live";
import { Choice, deploymentLink, Field, Loaded, Page, Problem, Status, Table, targetLink, Time, usePages, type Column } from "../ui";

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
    cell: (row) => deploymentLink(row.deploymentId, row.deploymentName),
  },
  { name: "Target", cell: (row) => targetLink(row.targetArn) },
  { name: "Revision", cell: (row) => row.revisionId },
  { name: "Status", cell: (row) => <Status value={row.deploymentStatus} /> },
  { name: "Created", cell: (row) => <Time seconds={row.creationTimestamp} /> },
];

interface Plan {
  way: string;
  canary: string;
  percents: string;
  bake: string;
  approval: string;
  gates: string[];
}
const kPlan: Plan = { way: "all", canary: "", percents: "1, 10, 50, 100", bake: "10", approval: "", gates: ["deploymentFailures"] };

// What a stage can be judged by, and how much worse than the other devices is still fine.
const kGates: [metric: string, text: string, tolerance: number][] = [
  ["deploymentFailures", "failed deployments", 0],
  ["unhealthyDevices", "unhealthy devices", 0.01],
  ["componentErrors", "components in error", 0.01],
  ["firingAlerts", "devices with an alert", 0.01],
  ["componentRestarts", "restarts of components", 0.2],
  ["inferenceErrors", "errors of inference", 0.01],
  ["inferenceLatency", "latency of inference", 0.1],
  ["meanConfidence", "confidence of models", 0.05],
  ["classDistribution", "what models see (classes)", 0.05],
  ["watchdogAlarms", "alarms of the inference service's watchdog", 0],
];

// docs/data/rollout.md says what each field means.
function documentOf(plan: Plan): Record<string, unknown> {
  const bakeMinutes = Number(plan.bake);
  const gates = kGates.filter(([metric]) => plan.gates.includes(metric)).map(([metric, , tolerance]) => ({ metric, tolerance }));
  const stages: Record<string, unknown>[] = plan.canary ? [{ canary: true, bakeMinutes, gates }] : [];
  for (const percent of plan.percents.split(",")) stages.push({ percent: Number(percent), bakeMinutes, gates });
  for (const stage of plan.approval === "each" ? stages.slice(0, -1) : plan.approval === "first" ? stages.slice(0, 1) : []) {
    stage["approval"] = true;
  }
  return { ...(plan.canary && { canaryGroup: plan.canary }), stages };
}

function GateFields({ chosen, change }: { chosen: string[]; change: (gates: string[]) => void }) {
  return (
    <fieldset class="checks">
      <legend>Judged by</legend>
      {kGates.map(([metric, text]) => (
        <label key={metric}>
          <input
            type="checkbox"
            checked={chosen.includes(metric)}
            onChange={(event) =>
              change(event.currentTarget.checked ? [...chosen, metric] : chosen.filter((one) => one !== metric))
            }
          />
          <span>{text}</span>
        </label>
      ))}
    </fieldset>
  );
}

function PlanFields({ plan, change, groups }: { plan: Plan; change: (part: Partial<Plan>) => void; groups: string[] }) {
  return (
    <>
      <Choice
        label="How"
        value={plan.way}
        onChange={(way) => change({ way })}
        options={[
          { value: "all", text: "all devices at once" },
          { value: "stages", text: "by stages; a bad one takes itself back" },
        ]}
      />
      {plan.way === "stages" && (
        <>
          <Choice
            label="Canary group"
            value={plan.canary}
            onChange={(canary) => change({ canary })}
            options={[{ value: "", text: "none" }, ...groups.map((name) => ({ value: name, text: name }))]}
          />
          <Field label="Stages, in percent of the devices" value={plan.percents} onInput={(percents) => change({ percents })} required />
          <Field label="Minutes to watch each" type="number" value={plan.bake} onInput={(bake) => change({ bake })} required />
          <Choice
            label="Approval"
            value={plan.approval}
            onChange={(approval) => change({ approval })}
            options={[
              { value: "", text: "by the gates alone" },
              { value: "first", text: "by somebody, after the first stage" },
              { value: "each", text: "by somebody, after each stage" },
            ]}
          />
          <GateFields chosen={plan.gates} change={(gates) => change({ gates })} />
        </>
      )}
    </>
  );
}

// What the target runs now, with another version of one component.
async function changed(targetArn: string, component: string, componentVersion: string) {
  const latest = await call<{ deployments: Deployment[] }>("greengrass", "GET", "/greengrass/v2/deployments", {
    query: { targetArn, maxResults: 1 },
  });
  const [first] = latest.deployments;
  const now = first
    ? await call<{ components: Record<string, Record<string, unknown>>; deploymentPolicies: Record<string, unknown> }>(
        "greengrass",
        "GET",
        `/greengrass/v2/deployments/${first.deploymentId}`,
      )
    : { components: {} as Record<string, Record<string, unknown>>, deploymentPolicies: {} };
  return {
    targetArn,
    components: { ...now.components, [component]: { ...now.components[component], componentVersion } },
    deploymentPolicies: now.deploymentPolicies,
  };
}

// A deployment replaces all that its target has: the form begins with what it runs now.
function NewDeployment() {
  const [target, setTarget] = useState("");
  const [component, setComponent] = useState("");
  const [version, setVersion] = useState("");
  const [plan, setPlan] = useState(kPlan);
  const [error, setError] = useState<Error>();
  const targets = useLive(
    () => all<{ groupName: string; groupArn: string }>("iot", "/thing-groups", "thingGroups", { maxResults: 100 }),
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
      const deployment = await changed(target, component, version);
      if (plan.way === "stages") {
        const made = await call<{ rolloutId: string }>("skerry", "POST", "/skerry/v1/rollouts", {
          body: { deployment, rollout: documentOf(plan) },
        });
        location.hash = `#/rollouts/${made.rolloutId}`;
      } else {
        const made = await call<{ deploymentId: string }>("greengrass", "POST", "/greengrass/v2/deployments", { body: deployment });
        location.hash = `#/deployments/${made.deploymentId}`;
      }
    } catch (problem) {
      setError(problem as Error);
    }
  };
  const choose = (name: string) => {
    setComponent(name);
    const found = components.data?.find((one) => one.componentName === name);
    setVersion(found?.latestVersion.componentVersion ?? "");
  };
  const groups = targets.data ?? [];
  const kChoose = { value: "", text: "choose…" };
  return (
    <details class="panel">
      <summary>New deployment</summary>
      <form class="narrow" onSubmit={submit}>
        <Choice
          label="Group"
          value={target}
          onChange={setTarget}
          options={[kChoose, ...groups.map((one) => ({ value: one.groupArn, text: one.groupName }))]}
        />
        <Choice
          label="Component"
          value={component}
          onChange={choose}
          options={[kChoose, ...(components.data ?? []).map((one) => ({ value: one.componentName, text: one.componentName }))]}
        />
        <Field label="Version" value={version} onInput={setVersion} required />
        <PlanFields
          plan={plan}
          change={(part) => setPlan({ ...plan, ...part })}
          groups={groups.filter((one) => one.groupArn !== target).map((one) => one.groupName)}
        />
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
      {mayChange && <NewDeployment />}
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
