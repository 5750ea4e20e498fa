// A rollout as a picture: its stages and the devices in them, the gates with their evidence, what
// happened and when it failed, and the devices on their way back.
import { useEffect } from "preact/hooks";
import { all, call } from "../api";
import { StackedBar, words, type Part } from "../charts";
import { useLive } from "../live";
import { Confirmed, deploymentLink, deviceLink, Facts, Loaded, Page, Panel, Pill, Table, targetLink, Time, type Kind } from "../ui";
import { isOver, Phase, phaseText, type RolloutSummary } from "./rollouts";

interface Census {
  asked: number;
  queued: number;
  silent: number;
  inProgress: number;
  retrying: number;
  succeeded: number;
  failed: number;
  rejected: number;
  timedOut: number;
  canceled: number;
}
interface Stage {
  canary?: boolean;
  percent?: number;
  devices?: number;
  approval?: boolean;
  bakeSeconds?: number;
  devicesSoFar: number;
}
type Interval = [low: number | null, high: number | null];
interface Finding {
  metric: string;
  verdict: string;
  release: number;
  control: number;
  releaseInterval: Interval;
  controlInterval: Interval;
  devices: number;
  needed: number;
  text: string;
}
interface Rollout extends RolloutSummary {
  stageList: Stage[];
  bakedSeconds: number;
  gates: Finding[];
  devices: Census;
  members: number;
  rollback?: Census & { couldNotGoBack: string[] };
}
interface Line {
  sequence: number;
  timestamp: number;
  text: string;
}

const kTickMs = 5000;
const kFailedPhases = new Set(["rollingBack", "rolledBack", "canceled"]);

function nameOf(stage: Stage): string {
  if (stage.canary) return "Canary";
  if (stage.percent !== undefined) return `${stage.percent} %`;
  return `${stage.devices} ${stage.devices === 1 ? "device" : "devices"}`;
}

// Devices that have said how it went, for good.
function ended(census: Census): number {
  return census.succeeded + census.failed + census.rejected + census.timedOut + census.canceled;
}

interface Block {
  stage: Stage;
  size: number; // devices that this stage adds
  asked: number;
  ended: number;
  state: "done" | "now" | "failed" | "ahead";
}

// Devices come in one order, so what was asked fills one stage after the other.
function blocksOf(rollout: Rollout): Block[] {
  let before = 0;
  return rollout.stageList.map((stage, index) => {
    const size = Math.max(stage.devicesSoFar - before, 0);
    const within = (count: number) => Math.min(Math.max(count - before, 0), size);
    const isHere = index === rollout.stage - 1;
    const isDone = index < rollout.stage - 1 || rollout.phase === "completed";
    const here = kFailedPhases.has(rollout.phase) ? "failed" : "now";
    const block: Block = {
      stage,
      size,
      asked: within(rollout.devices.asked),
      ended: within(ended(rollout.devices)),
      state: isDone ? "done" : isHere ? here : "ahead",
    };
    before = Math.max(before, stage.devicesSoFar);
    return block;
  });
}

const kStates = { done: "fine", now: "now", failed: "stopped here", ahead: "not begun" };

// One lane a stage, as long as the share of the target that it adds (with a least length, so that
// 1 % is seen): light what was asked, full what has answered.
function Stages({ rollout }: { rollout: Rollout }) {
  const total = Math.max(rollout.members, 1);
  return (
    <ol class="stages" aria-label="Stages">
      {blocksOf(rollout).map((block, index) => {
        const part = (count: number) => `${(100 * count) / Math.max(block.size, 1)}%`;
        return (
          <li key={index} class={`stage ${block.state}`} style={{ flexGrow: 12 + (100 * block.size) / total }}>
            <span class="stage-name">
              {nameOf(block.stage)} <span class="stage-state">{kStates[block.state]}</span>
            </span>
            <span class="stage-lane" role="img" aria-label={`${block.asked} of ${block.size} devices asked, ${block.ended} have answered`}>
              <span class="stage-asked" style={{ width: part(block.asked) }} />
              <span class="stage-ended" style={{ width: part(block.ended) }} />
            </span>
            <span class="quiet small">
              {block.asked.toLocaleString()} of {block.size.toLocaleString()}
              {block.stage.approval ? ", then approval" : ""}
            </span>
          </li>
        );
      })}
    </ol>
  );
}

function partsOf(census: Census): Part[] {
  const parts: Part[] = [
    { name: "succeeded", count: census.succeeded, kind: "good" },
    { name: "in progress", count: census.inProgress + census.retrying, kind: "busy" },
    { name: "queued", count: census.queued, kind: "quiet" },
    { name: "silent", count: census.silent, kind: "bad" },
    { name: "failed", count: census.failed + census.rejected + census.timedOut, kind: "bad" },
    { name: "cancelled", count: census.canceled, kind: "quiet" },
  ];
  return parts.filter((part) => part.count > 0);
}

function print(value: number): string {
  if (Math.abs(value) < 0.0005) return "0";
  return value.toLocaleString(undefined, { maximumSignificantDigits: 3 });
}

// Both intervals on one axis: apart means that the release differs. Without an end on one side the
// line goes to the edge.
function Intervals({ finding }: { finding: Finding }) {
  const arms = [
    { name: "release", value: finding.release, interval: finding.releaseInterval },
    { name: "control", value: finding.control, interval: finding.controlInterval },
  ].filter((arm) => arm.interval.some((end) => end !== null));
  if (arms.length === 0) return <span class="quiet">–</span>;
  const ends = arms.flatMap((arm) => [...arm.interval, arm.value]).filter((end) => end !== null);
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  const place = (value: number) => 64 + (148 * (value - low)) / Math.max(high - low, 1e-12);
  const spoken = arms
    .map((arm) => `${arm.name} ${print(arm.value)} (${arm.interval.map((end) => (end === null ? "open" : print(end))).join(" to ")})`)
    .join(", ");
  return (
    <svg class="intervals" viewBox="0 0 220 62" role="img" aria-label={spoken}>
      <title>{spoken}</title>
      {arms.map((arm, index) => {
        const y = 12 + 20 * index;
        const [from, to] = arm.interval;
        return (
          <g key={arm.name} class={arm.name}>
            <text x={0} y={y + 4}>
              {arm.name}
            </text>
            <line x1={from === null ? 60 : place(from)} x2={to === null ? 216 : place(to)} y1={y} y2={y} />
            <circle cx={place(arm.value)} cy={y} r={4.5} />
          </g>
        );
      })}
      <text x={64} y={56} class="axis">
        {print(low)}
      </text>
      <text x={212} y={56} class="axis end">
        {print(high)}
      </text>
    </svg>
  );
}

const kVerdicts: Record<string, { text: string; kind: Kind }> = {
  fine: { text: "fine", kind: "good" },
  worse: { text: "worse", kind: "bad" },
  notEnoughData: { text: "not enough data", kind: "neutral" },
};

// "meanConfidence" → "mean confidence"
function spaced(metric: string): string {
  return metric.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

function Gates({ findings }: { findings: Finding[] }) {
  return (
    <Table
      caption="Gates"
      empty="No gate has been looked at yet."
      id={(row) => row.metric}
      rows={findings}
      columns={[
        { name: "Metric", cell: (row) => <b>{spaced(row.metric)}</b> },
        {
          name: "Verdict",
          cell: (row) => {
            const verdict = kVerdicts[row.verdict] ?? { text: row.verdict, kind: "neutral" as const };
            return <Pill kind={verdict.kind}>{verdict.text}</Pill>;
          },
        },
        { name: "Confidence intervals", cell: (row) => <Intervals finding={row} /> },
        { name: "Devices", cell: (row) => (row.needed > 0 ? `${row.devices} of ${row.needed}` : row.devices) },
        { name: "Evidence", cell: (row) => row.text },
      ]}
    />
  );
}

function Commands({ rollout, done }: { rollout: Rollout; done: () => void }) {
  const send = (command: string, body: Record<string, unknown> = {}) =>
    call("skerry", "POST", `/skerry/v1/rollouts/${encodeURIComponent(rollout.rolloutId)}/${command}`, {
      body,
    }).then(done);
  const { phase, stage, devices } = rollout;
  const goesOn = !isOver(phase) && phase !== "rollingBack";
  const mayGoBack = rollout.previousDeploymentId && (goesOn || phase === "completed" || phase === "canceled");
  if (!goesOn && !mayGoBack) return null;
  return (
    <div class="actions">
      {phase === "waitingForApproval" && (
        <Confirmed
          primary
          action="Approve"
          question={`Stage ${stage} of ${rollout.stages} is fine: go on to the next one?`}
          run={() => send("approve", { stage })}
        />
      )}
      {phase === "paused" && rollout.gates.some((gate) => gate.verdict === "notEnoughData") && (
        <Confirmed
          action="Approve"
          question="Go on to the next stage without the evidence that a gate waits for?"
          run={() => send("approve", { stage })}
        />
      )}
      {phase === "paused" && <Confirmed action="Resume" question="Go on asking devices?" run={() => send("resume")} />}
      {goesOn && phase !== "paused" && (
        <Confirmed action="Pause" question="No further device is asked until somebody resumes it." run={() => send("pause")} />
      )}
      {goesOn && (
        <Confirmed danger action="Abort" question="No further device gets it; those that have it keep it." run={() => send("abort")} />
      )}
      {mayGoBack && (
        <Confirmed
          danger
          action="Roll back"
          question={`Every device that was asked gets the revision before: ${devices.asked.toLocaleString()} of ${rollout.members.toLocaleString()} devices.`}
          run={() => send("rollback")}
        />
      )}
    </div>
  );
}

// The line of the history that says why it does not go on.
function isFailure(line: Line): boolean {
  return /^(rollingBack|canceled|paused: gate)/.test(line.text) && !/by an operator/.test(line.text);
}

function Failure({ rollout, line }: { rollout: Rollout; line: Line }) {
  return (
    <div class="failure" role="note">
      <b>
        Stopped in stage {rollout.stage} of {rollout.stages}
      </b>{" "}
      <Time seconds={line.timestamp} />
      <br />
      {line.text.replace(/^\w+: /, "")}
    </div>
  );
}

function WayBack({ rollout }: { rollout: Rollout }) {
  const back = rollout.rollback;
  if (!back) return null;
  const parts = partsOf(back);
  return (
    <Panel
      title="On their way back"
      beside={<a href={`#/deployments/${rollout.rollbackDeploymentId}`}>Device by device</a>}
    >
      <p role="status">
        <b>
          {back.succeeded.toLocaleString()} of {Math.max(rollout.devices.asked, back.asked).toLocaleString()}
        </b>{" "}
        are back at the revision before.
      </p>
      <StackedBar legend parts={parts} />
      {back.couldNotGoBack.length > 0 && (
        <p class="problem">
          Could not go back:{" "}
          {back.couldNotGoBack.map((name) => (
            <span key={name} class="tag">
              {deviceLink(name)}
            </span>
          ))}
        </p>
      )}
    </Panel>
  );
}

function History({ lines }: { lines: Line[] }) {
  return (
    <ol class="history">
      {lines.map((line) => (
        <li key={line.sequence} class={isFailure(line) ? "bad" : ""}>
          <Time seconds={line.timestamp} />
          <span>{line.text.replace(/^(\w+): /, (_, phase: string) => `${phaseText(phase)}: `)}</span>
        </li>
      ))}
    </ol>
  );
}

interface Seen {
  rollout: Rollout;
  lines: Line[];
  changes: string[];
}

function Picture({ rollout, lines, changes, mayChange, done }: Seen & { mayChange: boolean; done: () => void }) {
  const failure = kFailedPhases.has(rollout.phase) || rollout.phase === "paused" ? lines.find(isFailure) : undefined;
  return (
    <>
      <Facts
        facts={[
          ["Phase", <Phase phase={rollout.phase} />],
          ["Stage", `${rollout.stage} of ${rollout.stages}`],
          ["Target", <>{targetLink(rollout.targetArn)}, {rollout.members.toLocaleString()} devices</>],
          ["Release", <>{changes.length > 0 ? changes.join(", ") : "the same again"} ({deploymentLink(rollout.rolloutId, "deployment")})</>],
          ["Before", rollout.previousDeploymentId && deploymentLink(rollout.previousDeploymentId, "the revision before")],
          ["Why", failure ? "" : rollout.reason],
        ]}
      />
      {mayChange && <Commands rollout={rollout} done={done} />}
      {failure && <Failure rollout={rollout} line={failure} />}
      <Panel title="Stages">
        <Stages rollout={rollout} />
        <p class="quiet small">Light: asked. Full: has answered.</p>
        <h3>Devices that were asked</h3>
        <StackedBar legend parts={partsOf(rollout.devices)} />
        <p class="hidden" role="status">
          {words(partsOf(rollout.devices))}
        </p>
      </Panel>
      <WayBack rollout={rollout} />
      <Panel title="Gates">
        <Gates findings={rollout.gates} />
      </Panel>
      <Panel title="What happened">
        <History lines={lines} />
      </Panel>
    </>
  );
}

type Components = Record<string, { componentVersion: string }>;

async function componentsOf(deploymentId: string | undefined): Promise<Components> {
  if (!deploymentId) return {};
  const path = `/greengrass/v2/deployments/${encodeURIComponent(deploymentId)}`;
  // One that was deleted or forgotten meanwhile had nothing that can be told.
  const found = await call<{ components: Components }>("greengrass", "GET", path).catch(() => ({ components: {} }));
  return found.components;
}

// What the release has other than the revision before: "com.example.A 1.0.0 → 1.1.0".
async function changesOf(rollout: Rollout): Promise<string[]> {
  const [before, now] = await Promise.all([componentsOf(rollout.previousDeploymentId), componentsOf(rollout.rolloutId)]);
  const names = [...new Set([...Object.keys(before), ...Object.keys(now)])].sort();
  return names
    .map((name) => ({ name, from: before[name]?.componentVersion, to: now[name]?.componentVersion }))
    .filter(({ from, to }) => from !== to)
    .map(({ name, from, to }) => `${name} ${from ? `${from} → ` : ""}${to ?? "removed"}`);
}

export function RolloutPage({ id, mayChange }: { id: string; mayChange: boolean }) {
  const path = `/skerry/v1/rollouts/${encodeURIComponent(id)}`;
  const live = useLive(
    async () => {
      const rollout = await call<Rollout>("skerry", "GET", path);
      const lines = await all<Line>("skerry", `${path}/history`, "history");
      return { rollout, lines, changes: await changesOf(rollout) };
    },
    [id],
    ["deployments", "devices"],
  );
  // Bake times pass without a change of any device.
  useEffect(() => {
    const timer = setInterval(live.reload, kTickMs);
    return () => clearInterval(timer);
  }, [id]);
  return (
    <Page title="Rollout" above={<a href="#/rollouts">Rollouts</a>}>
      <Loaded live={live}>{(data) => <Picture {...data} mayChange={mayChange} done={live.reload} />}</Loaded>
    </Page>
  );
}
