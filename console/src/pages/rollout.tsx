// A rollout as a picture: its stages, the devices in them, the gates with their evidence, what
// happened, and the devices on their way back.
import { useEffect } from "preact/hooks";
import { all, call } from "../api";
import { useLive } from "../live";
import { Confirmed, Loaded, Page, StackedBar, Table, Time } from "../ui";
import { isOver, Phase, type RolloutSummary } from "./rollouts";

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
  devicesSoFar: number;
}
interface Finding {
  metric: string;
  verdict: string;
  release: number;
  control: number;
  releaseInterval: [number, number];
  controlInterval: [number, number];
  devices: number;
  needed: number;
  text: string;
}
interface Rollout extends RolloutSummary {
  stageList: Stage[];
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

function nameOf(stage: Stage): string {
  if (stage.canary) return "canary";
  return stage.percent !== undefined ? `${stage.percent} %` : `${stage.devices} devices`;
}

// One block a stage, as wide as the devices that it adds (with a least width, so that 1 % is
// seen), filled by those that were asked.
function Stages({ rollout }: { rollout: Rollout }) {
  const failed = ["rollingBack", "rolledBack", "canceled"].includes(rollout.phase);
  let before = 0;
  const blocks = rollout.stageList.map((stage, index) => {
    const size = Math.max(stage.devicesSoFar - before, 0);
    const asked = Math.min(Math.max(rollout.devices.asked - before, 0), size);
    before = Math.max(before, stage.devicesSoFar);
    return { stage, index, size, asked };
  });
  const total = Math.max(before, 1);
  const width = (size: number) => 90 + (640 * size) / total;
  const whole = blocks.reduce((sum, block) => sum + width(block.size) + 6, 0);
  let x = 0;
  const words = blocks.map((b) => `${nameOf(b.stage)}: ${b.asked} of ${b.size} devices asked`).join("; ");
  return (
    <svg class="stages" viewBox={`0 0 ${whole} 96`} role="img" aria-label={words}>
      {blocks.map(({ stage, index, size, asked }) => {
        const left = x;
        const full = width(size);
        x += full + 6;
        const current = index === rollout.stage - 1;
        return (
          <g key={index}>
            <rect x={left} y={26} width={full} height={40} rx={5} class="stage-ground" />
            <rect
              x={left}
              y={26}
              width={size > 0 ? (full * asked) / size : 0}
              height={40}
              rx={5}
              class={failed ? "stage-fill bad" : "stage-fill"}
            />
            {current && <rect x={left} y={26} width={full} height={40} rx={5} class="stage-now" />}
            <text x={left + 6} y={18}>
              {nameOf(stage)}
              {stage.approval ? " ✋" : ""}
            </text>
            <text x={left + 6} y={84} class="small">
              {asked} of {size}
            </text>
          </g>
        );
      })}
    </svg>
  );
}

function parts(census: Census) {
  return [
    { name: "succeeded", count: census.succeeded },
    { name: "in progress", count: census.inProgress + census.retrying },
    { name: "queued", count: census.queued },
    { name: "silent", count: census.silent, bad: true },
    { name: "failed", count: census.failed + census.rejected + census.timedOut, bad: true },
    { name: "cancelled", count: census.canceled },
  ].filter((part) => part.count > 0);
}

// Both intervals on one axis: apart means that the release differs.
function Intervals({ finding }: { finding: Finding }) {
  const arms = [
    { name: "release", value: finding.release, interval: finding.releaseInterval },
    { name: "control", value: finding.control, interval: finding.controlInterval },
  ].filter((arm) => Array.isArray(arm.interval) && arm.interval.every(Number.isFinite));
  if (arms.length === 0) return null;
  const low = Math.min(...arms.map((arm) => arm.interval[0]));
  const high = Math.max(...arms.map((arm) => arm.interval[1]));
  const place = (value: number) => 8 + (164 * (value - low)) / Math.max(high - low, 1e-12);
  const words = arms
    .map((arm) => `${arm.name} ${arm.value} (${arm.interval[0]} to ${arm.interval[1]})`)
    .join(", ");
  return (
    <svg class="intervals" viewBox="0 0 180 44" role="img" aria-label={words}>
      {arms.map((arm, index) => (
        <g key={arm.name} class={arm.name}>
          <line x1={place(arm.interval[0])} x2={place(arm.interval[1])} y1={12 + 20 * index} y2={12 + 20 * index} />
          <circle cx={place(arm.value)} cy={12 + 20 * index} r={4} />
        </g>
      ))}
    </svg>
  );
}

const kVerdicts: Record<string, { text: string; kind: string }> = {
  fine: { text: "fine", kind: "good" },
  worse: { text: "worse", kind: "bad" },
  notEnoughData: { text: "not enough data", kind: "neutral" },
};

function Gates({ findings }: { findings: Finding[] }) {
  return (
    <Table
      caption="Gates"
      empty="No gate has been looked at yet."
      id={(row) => row.metric}
      rows={findings}
      columns={[
        { name: "Metric", cell: (row) => row.metric },
        {
          name: "Verdict",
          cell: (row) => {
            const verdict = kVerdicts[row.verdict] ?? { text: row.verdict, kind: "neutral" };
            return <span class={`status ${verdict.kind}`}>{verdict.text}</span>;
          },
        },
        { name: "Release above, control below", cell: (row) => <Intervals finding={row} /> },
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
  const back = rollout.previousDeploymentId;
  return (
    <div class="actions">
      {rollout.phase === "approval" && (
        <Confirmed
          action="Approve"
          question={`Stage ${rollout.stage} is fine: go on to the next one?`}
          run={() => send("approve", { stage: rollout.stage })}
        />
      )}
      {rollout.phase === "paused" && (
        <Confirmed action="Resume" question="Go on asking devices?" run={() => send("resume")} />
      )}
      {["asking", "baking", "approval"].includes(rollout.phase) && (
        <Confirmed
          action="Pause"
          question="No further device is asked until somebody resumes it."
          run={() => send("pause")}
        />
      )}
      {!isOver(rollout.phase) && rollout.phase !== "rollingBack" && (
        <Confirmed
          danger
          action="Abort"
          question="No further device gets it; those that have it keep it."
          run={() => send("abort")}
        />
      )}
      {rollout.phase !== "rollingBack" && rollout.phase !== "rolledBack" && back && (
        <Confirmed
          danger
          action="Roll back"
          question={`Every device that was asked gets the revision before. ${rollout.devices.asked} devices were.`}
          run={() => send("rollback")}
        />
      )}
    </div>
  );
}

export function RolloutPage({ id, mayChange }: { id: string; mayChange: boolean }) {
  const path = `/skerry/v1/rollouts/${encodeURIComponent(id)}`;
  const live = useLive(() => call<Rollout>("skerry", "GET", path), [id], ["deployments", "devices"]);
  const history = useLive(() => all<Line>("skerry", `${path}/history`, "history"), [id], ["deployments"]);
  // Bake times pass without a change of any device.
  useEffect(() => {
    const timer = setInterval(() => {
      live.reload();
      history.reload();
    }, kTickMs);
    return () => clearInterval(timer);
  }, [id]);
  return (
    <Page title="Rollout">
      <Loaded live={live}>
        {(rollout) => (
          <>
            <p>
              <Phase phase={rollout.phase} /> stage {rollout.stage} of {rollout.stages} to{" "}
              <b>{rollout.targetArn.split(":").at(-1)}</b>, {rollout.members} devices
              {rollout.reason && <>: {rollout.reason}</>}.{" "}
              <a href={`#/deployments/${rollout.rolloutId}`}>Its deployment</a>
            </p>
            {mayChange && <Commands rollout={rollout} done={live.reload} />}
            <Stages rollout={rollout} />
            <h2>Devices that were asked</h2>
            <StackedBar parts={parts(rollout.devices)} />
            <p class="quiet">{parts(rollout.devices).map((one) => `${one.count} ${one.name}`).join(", ")}</p>
            {rollout.rollback && (
              <>
                <h2>On their way back</h2>
                <StackedBar parts={parts(rollout.rollback)} />
                <p class="quiet">
                  {parts(rollout.rollback).map((one) => `${one.count} ${one.name}`).join(", ")}
                </p>
                {rollout.rollback.couldNotGoBack.length > 0 && (
                  <p class="problem">
                    Could not go back:{" "}
                    {rollout.rollback.couldNotGoBack.map((name) => (
                      <a key={name} class="tag" href={`#/devices/${encodeURIComponent(name)}`}>
                        {name}
                      </a>
                    ))}
                  </p>
                )}
              </>
            )}
            <h2>Gates</h2>
            <Gates findings={rollout.gates} />
          </>
        )}
      </Loaded>
      <h2>What happened</h2>
      <Loaded live={history}>
        {(lines) => (
          <ol class="history">
            {lines.map((line) => (
              <li key={line.sequence}>
                <Time seconds={line.timestamp} /> {line.text}
              </li>
            ))}
          </ol>
        )}
      </Loaded>
    </Page>
  );
}
