// Releases that go by stages, newest first.
import { call } from "../api";
import { useLive } from "../live";
import { Loaded, Page, Table, Time, usePages, type Column } from "../ui";

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
const kPhases: Record<string, { text: string; kind: string }> = {
  asking: { text: "asking devices", kind: "neutral" },
  baking: { text: "watching the stage", kind: "neutral" },
  approval: { text: "waits for approval", kind: "neutral" },
  paused: { text: "paused", kind: "bad" },
  rollingBack: { text: "rolling back", kind: "bad" },
  completed: { text: "completed", kind: "good" },
  canceled: { text: "cancelled", kind: "bad" },
  rolledBack: { text: "rolled back", kind: "bad" },
  superseded: { text: "replaced by a later one", kind: "neutral" },
  targetGone: { text: "its group is gone", kind: "neutral" },
};

export function Phase({ phase }: { phase: string }) {
  const known = kPhases[phase] ?? { text: phase, kind: "neutral" };
  return <span class={`status ${known.kind}`}>{known.text}</span>;
}

export function isOver(phase: string): boolean {
  return ["completed", "canceled", "rolledBack", "superseded", "targetGone"].includes(phase);
}

export const rolloutColumns: Column<RolloutSummary>[] = [
  {
    name: "Target",
    cell: (row) => (
      <a href={`#/rollouts/${encodeURIComponent(row.rolloutId)}`}>{row.targetArn.split(":").at(-1)}</a>
    ),
  },
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
        Begun on the command line: <code>skerry deploy --rollout PLAN.json …</code>
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
