// Releases that go by stages, newest first.
import { call } from "../api";
import { useLive } from "../live";
import { Loaded, Page, Pill, Table, targetLink, Time, usePages, type Column, type Kind } from "../ui";

export interface RolloutSummary {
  rolloutId: string;
  targetArn: string;
  phase: string;
  stage: number;
  stages: number;
  reason: string;
  createdTimestamp: number;
  updatedTimestamp: number;
  previousDeploymentId?: string;
  rollbackDeploymentId?: string;
}

// The words of the API for people.
const kPhases: Record<string, { text: string; kind: Kind }> = {
  asking: { text: "asking devices", kind: "busy" },
  baking: { text: "watching the stage", kind: "busy" },
  waitingForApproval: { text: "waits for approval", kind: "busy" },
  paused: { text: "paused", kind: "bad" },
  rollingBack: { text: "rolling back", kind: "bad" },
  completed: { text: "completed", kind: "good" },
  canceled: { text: "cancelled", kind: "bad" },
  rolledBack: { text: "rolled back", kind: "bad" },
  superseded: { text: "replaced by a later one", kind: "neutral" },
  targetGone: { text: "its group is gone", kind: "neutral" },
};

export function phaseText(phase: string): string {
  return kPhases[phase]?.text ?? phase;
}

export function Phase({ phase }: { phase: string }) {
  return <Pill kind={kPhases[phase]?.kind ?? "neutral"}>{phaseText(phase)}</Pill>;
}

export function isOver(phase: string): boolean {
  return ["completed", "canceled", "rolledBack", "superseded", "targetGone"].includes(phase);
}

export const rolloutColumns: Column<RolloutSummary>[] = [
  {
    name: "Rollout",
    cell: (row) => (
      <a href={`#/rollouts/${encodeURIComponent(row.rolloutId)}`}>{row.rolloutId.slice(0, 8)}</a>
    ),
  },
  { name: "Target", cell: (row) => targetLink(row.targetArn) },
  { name: "Phase", cell: (row) => <Phase phase={row.phase} /> },
  { name: "Stage", cell: (row) => `${row.stage} of ${row.stages}` },
  { name: "Why", cell: (row) => row.reason },
  { name: "Began", cell: (row) => <Time seconds={row.createdTimestamp} /> },
];

export function RolloutsPage() {
  const pages = usePages();
  const live = useLive(
    () =>
      call<{ rollouts: RolloutSummary[]; nextToken?: string }>("skerry", "GET", "/skerry/v1/rollouts", {
        query: { maxResults: 25, nextToken: pages.token },
      }),
    [pages.token],
    ["deployments"],
  );
  return (
    <Page title="Rollouts">
      <p class="quiet">
        Begun with a <a href="#/deployments">new deployment</a> by stages, or on the command line:{" "}
        <code>skerry deploy --rollout PLAN.json …</code>
      </p>
      <Loaded live={live}>
        {(page) => (
          <>
            <Table
              caption="Rollouts"
              empty="None yet."
              id={(row) => row.rolloutId}
              rows={page.rollouts}
              columns={rolloutColumns}
            />
            <pages.Pager next={page.nextToken} />
          </>
        )}
      </Loaded>
    </Page>
  );
}
