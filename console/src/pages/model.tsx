// One model, or one version of it: where it comes from, who let a tag point at it, which
// deployments brought it, which devices run it and what it does there.
import { useState } from "preact/hooks";
import { all, call } from "../api";
import { BigNumber, Shares, Trend } from "../charts";
import { Graph, type Node, type Rank } from "../graph";
import { useLive } from "../live";
import { address, Confirmed, Empty, Facts, Field, Loaded, Page, Panel, Table, Time } from "../ui";
import type { ComponentUse } from "./component";
import {
  datasetLink,
  datasetOf,
  metricOf,
  modelAddress,
  modelLink,
  RunningDevices,
  sourceLink,
  Tags,
  type Model,
} from "./models";
import { phaseText } from "./rollouts";

interface Promotion {
  tag: string;
  version: string;
  previous: string;
  by: string;
  at: number;
}
export interface Use {
  requests: number;
  errors: number;
  errorRate: number;
  meanLatencyUs: number;
  latencyNs: { p50: number; p90: number; p99: number };
  predictions: number;
  meanConfidence: number;
  classes: Record<string, number>;
}
interface Hour extends Use {
  at: number;
}

const kDeploymentsShown = 8;

function datasetNodes(models: Model[]): Node[] {
  const known = new Map<string, Node>();
  for (const model of models) {
    const { dataset, datasetVersion = "" } = model;
    if (!dataset) continue;
    known.set(datasetOf(model), {
      id: `data ${datasetOf(model)}`,
      title: datasetOf(model),
      href: address("models", { dataset, datasetVersion }),
      from: [],
    });
  }
  return [...known.values()];
}

function runOf(model: Model): string {
  return model.trainingRun || model.sourceSha256 || "";
}

// The runs in which they were trained, or the sources that they were made from.
function runNodes(models: Model[]): Node[] {
  const known = new Map<string, Node>();
  for (const model of models) {
    const run = runOf(model);
    if (!run) continue;
    const before = known.get(run);
    const data = model.dataset ? [`data ${datasetOf(model)}`] : [];
    known.set(run, {
      id: `run ${run}`,
      title: model.trainingRun ? run : `source ${run.slice(0, 12)}`,
      detail: [model.trainedOn, model.trainingRun && model.sourceSha256?.slice(0, 12)].filter(Boolean).join(", "),
      href: model.sourceSha256 ? address("models", { sourceSha256: model.sourceSha256 }) : modelAddress(model.component, model.version),
      from: [...new Set([...(before?.from ?? []), ...data])],
    });
  }
  return [...known.values()];
}

function versionNodes(models: Model[]): Node[] {
  return models.map((model) => ({
    id: `version ${model.version}`,
    title: model.version,
    detail: (
      <>
        {metricOf(model)} <Tags tags={model.tags} />
      </>
    ),
    href: modelAddress(model.component, model.version),
    from: runOf(model) ? [`run ${runOf(model)}`] : model.dataset ? [`data ${datasetOf(model)}`] : [],
  }));
}

function deploymentNodes(models: Model[], use: ComponentUse): Rank {
  const versions = new Set(models.map((model) => model.version));
  const mine = use.deployments.filter((one) => versions.has(one.componentVersion));
  return {
    title: "Rollouts",
    more: mine.length > kDeploymentsShown ? `and ${mine.length - kDeploymentsShown} earlier` : undefined,
    nodes: mine.slice(0, kDeploymentsShown).map((one) => ({
      id: `deployment ${one.deploymentId}`,
      title: one.targetArn.split("/").at(-1) ?? "",
      detail: one.rolloutPhase ? `rollout, ${phaseText(one.rolloutPhase)}` : one.isLatestForTarget ? "deployed" : "replaced",
      href: `#/${one.rolloutPhase ? "rollouts" : "deployments"}/${encodeURIComponent(one.deploymentId)}`,
      from: [`version ${one.componentVersion}`],
    })),
  };
}

function deviceNodes(models: Model[], use: ComponentUse, deployments: Node[]): Node[] {
  return models.flatMap((model) => {
    const count = use.versions.find((one) => one.componentVersion === model.version);
    if (!count) return [];
    const version = `version ${model.version}`;
    const brought = deployments.filter((node) => node.from.includes(version)).map((node) => node.id);
    return [
      {
        id: `devices ${model.version}`,
        title: `${count.devices.toLocaleString()} ${count.devices === 1 ? "device" : "devices"}`,
        detail: count.broken > 0 ? `run ${model.version}, broken on ${count.broken}` : `run ${model.version}`,
        href: address("devices", { component: model.component, version: model.version }),
        from: brought.length > 0 ? brought : [version],
      },
    ];
  });
}

function ranksOf(models: Model[], use: ComponentUse): Rank[] {
  const deployments = deploymentNodes(models, use);
  return [
    { title: "Data", nodes: datasetNodes(models) },
    { title: "Training", nodes: runNodes(models) },
    { title: "Version", nodes: versionNodes(models) },
    deployments,
    { title: "Running on", nodes: deviceNodes(models, use, deployments.nodes) },
  ];
}

// An address that somebody wrote into a field is a link only where it can do no harm.
function TrainingRun({ run }: { run: string }) {
  if (!/^https?:\/\//.test(run)) return <>{run}</>;
  return (
    <a href={run} target="_blank" rel="noopener noreferrer">
      {run}
    </a>
  );
}

function Origin({ model }: { model: Model }) {
  const pairs = (values: Record<string, unknown> | undefined) =>
    Object.entries(values ?? {})
      .map(([name, value]) => `${name} ${String(value)}`)
      .join(", ");
  return (
    <Facts
      facts={[
        ["Release", model.release],
        ["Trained on", model.trainedOn],
        ["Data set", datasetLink(model)],
        ["Training run", model.trainingRun && <TrainingRun run={model.trainingRun} />],
        ["Source", sourceLink(model.sourceSha256)],
        ["Metrics", pairs(model.metrics)],
        ["Optimiser", pairs(model.optimiser)],
        ["Licence", model.licence],
        ["Artifact", model.artifact],
        ["Published", <>{<Time seconds={model.created} />} by {model.createdBy}</>],
      ]}
    />
  );
}

export function UseNumbers({ use }: { use: Use }) {
  const classes = Object.entries(use.classes).sort(([a], [b]) => Number(a) - Number(b));
  return (
    <>
      <div class="numbers">
        <BigNumber value={use.requests} text="requests" />
        <BigNumber value={`${(100 * use.errorRate).toFixed(2)} %`} text="errors" kind={use.errorRate > 0.01 ? "bad" : ""} />
        <BigNumber value={milliseconds(use.latencyNs.p50)} text="latency, median" />
        <BigNumber value={milliseconds(use.latencyNs.p99)} text="latency, 99 %" />
        {use.predictions > 0 && <BigNumber value={use.meanConfidence.toFixed(3)} text="mean confidence" />}
      </div>
      {classes.length > 0 && (
        <>
          <h3>Classes predicted</h3>
          <Shares label="Classes predicted" counts={classes.map(([name, count]) => [`class ${name}`, count])} />
        </>
      )}
    </>
  );
}

export function milliseconds(ns: number): string {
  const ms = ns / 1e6;
  return `${ms < 10 ? ms.toFixed(2) : ms.toFixed(0)} ms`;
}

function InUse({ model }: { model: Model }) {
  const path = `/skerry/v1/modelMetrics/${encodeURIComponent(model.model)}/versions/${encodeURIComponent(model.version)}`;
  const live = useLive(
    async () => ({
      use: await call<Use & { things: number }>("skerry", "GET", path),
      hours: (await call<{ hours: Hour[] }>("skerry", "GET", `${path}/history`)).hours,
    }),
    [path],
    ["devices"],
  );
  const points = (hours: Hour[], value: (hour: Hour) => number) => hours.map((hour) => ({ at: hour.at, value: value(hour) }));
  return (
    <Panel title="What it does">
      <Loaded live={live}>
        {({ use, hours }) =>
          use.things === 0 ? (
            <Empty>No device has said anything of it yet.</Empty>
          ) : (
            <>
              <p class="quiet">
                As {use.things.toLocaleString()} {use.things === 1 ? "device" : "devices"} said
                {hours.length > 1 && <>; lines: the last 48 hours</>}.
              </p>
              <UseNumbers use={use} />
              {hours.length > 1 && (
              <div class="trends">
                <Trend name="Requests per hour" points={points(hours, (hour) => hour.requests)} print={(value) => value.toLocaleString()} />
                <Trend name="Latency, 90 %" points={points(hours, (hour) => hour.latencyNs.p90)} print={milliseconds} />
                {use.predictions > 0 && (
                  <Trend name="Mean confidence" points={points(hours, (hour) => hour.meanConfidence)} print={(value) => value.toFixed(3)} />
                )}
                <Trend name="Errors" points={points(hours, (hour) => 100 * hour.errorRate)} print={(value) => `${value.toFixed(2)} %`} />
              </div>
              )}
            </>
          )
        }
      </Loaded>
    </Panel>
  );
}

function Promote({ model, done }: { model: Model; done: () => void }) {
  const [tag, setTag] = useState("production");
  const path = `/skerry/v1/models/${encodeURIComponent(model.component)}/tags/${encodeURIComponent(tag)}`;
  return (
    <div class="filters">
      <Field label="Tag" value={tag} onInput={setTag} choices={["production", "candidate"]} />
      <Confirmed
        action="Promote"
        question={`“${tag}” of ${model.component} points at ${model.version} from now on. No device changes: deploy it for that.`}
        run={() => call("skerry", "PUT", path, { body: { version: model.version } }).then(done)}
      />
    </div>
  );
}

function TagHistory({ component, promotions }: { component: string; promotions: Promotion[] }) {
  return (
    <Table
      caption="Tags"
      empty="No tag has pointed at a version yet."
      id={(row) => `${row.tag} ${row.at} ${row.version}`}
      rows={promotions}
      columns={[
        { name: "Tag", cell: (row) => row.tag },
        { name: "Points at", cell: (row) => modelLink({ component, version: row.version }) },
        { name: "Before", cell: (row) => row.previous && modelLink({ component, version: row.previous }) },
        { name: "By", cell: (row) => row.by },
        { name: "When", cell: (row) => <Time seconds={row.at} /> },
      ]}
    />
  );
}

// `version` "": every version.
export function ModelPage({ component, version, mayChange }: { component: string; version: string; mayChange: boolean }) {
  const at = `/skerry/v1/models/${encodeURIComponent(component)}`;
  const live = useLive(
    async () => ({
      models: await all<Model>("skerry", "/skerry/v1/models", "models", { component }),
      use: await call<ComponentUse>("skerry", "GET", `/skerry/v1/components/${encodeURIComponent(component)}/use`),
      promotions: await all<Promotion>("skerry", `${at}/promotions`, "promotions"),
    }),
    [component, version],
    ["devices", "deployments"],
  );
  return (
    <Page
      title={version ? `${component} ${version}` : component}
      above={
        <>
          <a href="#/models">Models</a>
          {version && <> › <a href={modelAddress(component)}>{component}</a></>}
        </>
      }
    >
      <Loaded live={live}>
        {({ models, use, promotions }) => {
          const shown = version ? models.filter((one) => one.version === version) : models;
          const [model] = shown;
          if (!model) return <Empty>{version ? "This version was never described as a model." : "No version of it is described as a model."}</Empty>;
          return (
            <>
              {version && (
                <>
                  <p><Tags tags={model.tags} /></p>
                  {mayChange && <Promote model={model} done={live.reload} />}
                </>
              )}
              <Panel title="Where it comes from, where it went">
                <Graph label="Provenance" ranks={ranksOf(shown, use)} />
              </Panel>
              {version && (
                <>
                  <Panel
                    title="Provenance"
                    beside={<a href={`#/components/${encodeURIComponent(component)}`}>Its component</a>}
                  >
                    <Origin model={model} />
                  </Panel>
                  <InUse model={model} />
                </>
              )}
              <Panel title="Tags">
                <TagHistory
                  component={component}
                  promotions={promotions.filter((one) => !version || one.version === version || one.previous === version)}
                />
              </Panel>
              <Panel title="Devices that run it">
                <RunningDevices query={version ? { component, version } : { component }} />
              </Panel>
            </>
          );
        }}
      </Loaded>
    </Page>
  );
}
