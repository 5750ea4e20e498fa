// One component: its versions and recipes, the deployments that brought it, the devices that have it.
import { useState } from "preact/hooks";
import { all, call } from "../api";
import { StackedBar } from "../charts";
import { useLive } from "../live";
import { address, Confirmed, deploymentLink, Loaded, Page, Panel, Status, Table, targetLink, Time } from "../ui";
import { modelAddress } from "./models";
import type { VersionCount } from "./overview";
import { Phase } from "./rollouts";

interface ComponentDeployment {
  deploymentId: string;
  deploymentName: string;
  targetArn: string;
  componentVersion: string;
  deploymentStatus: string;
  isLatestForTarget: boolean;
  creationTimestamp: number;
  rolloutPhase?: string;
}
export interface ComponentUse {
  arn: string;
  versions: VersionCount[];
  deployments: ComponentDeployment[];
}
interface Version {
  arn: string;
  componentVersion: string;
}

const at = (arn: string) => `/greengrass/v2/components/${encodeURIComponent(arn)}`;

function readable(recipeBase64: string): string {
  const bytes = Uint8Array.from(atob(recipeBase64), (letter) => letter.charCodeAt(0));
  return JSON.stringify(JSON.parse(new TextDecoder().decode(bytes)), null, 2);
}

function Recipe({ arn }: { arn: string }) {
  const [open, setOpen] = useState(false);
  const live = useLive(
    async () => (open ? readable((await call<{ recipe: string }>("greengrass", "GET", at(arn))).recipe) : ""),
    [arn, open],
  );
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Recipe</summary>
      <Loaded live={live}>{(recipe) => <pre class="code">{recipe}</pre>}</Loaded>
    </details>
  );
}

function Versions({ versions, use, mayChange, reload }: { versions: Version[]; use: ComponentUse; mayChange: boolean; reload: () => void }) {
  const count = (version: string) => use.versions.find((one) => one.componentVersion === version);
  return (
    <Table
      caption="Versions"
      empty="None is published here. Devices may have one that their nucleus brought along."
      id={(row) => row.arn}
      rows={versions}
      columns={[
        { name: "Version", cell: (row) => <b>{row.componentVersion}</b> },
        {
          name: "Devices",
          cell: (row) => (
            <a href={address("devices", { component: row.arn.split(":")[6] ?? "", version: row.componentVersion })}>
              {count(row.componentVersion)?.devices ?? 0}
            </a>
          ),
        },
        { name: "Broken", cell: (row) => count(row.componentVersion)?.broken ?? 0 },
        { name: "What it is", cell: (row) => <Recipe arn={row.arn} /> },
        {
          name: "",
          cell: (row) =>
            mayChange && (
              <Confirmed
                danger
                action="Delete"
                question={`Version ${row.componentVersion} cannot be deployed any more. Devices that have it keep it. Another content cannot take its number.`}
                run={() => call("greengrass", "DELETE", at(row.arn)).then(reload)}
              />
            ),
        },
      ]}
    />
  );
}

export function ComponentPage({ name, mayChange }: { name: string; mayChange: boolean }) {
  const live = useLive(
    async () => {
      const use = await call<ComponentUse>("skerry", "GET", `/skerry/v1/components/${encodeURIComponent(name)}/use`);
      const models = await all("skerry", "/skerry/v1/models", "models", { component: name });
      const versions = await all<Version>("greengrass", `${at(use.arn)}/versions`, "componentVersions").catch(() => []);
      return { use, versions, isModel: models.length > 0 };
    },
    [name],
    ["devices", "deployments"],
  );
  return (
    <Page title={name} above={<a href="#/components">Components</a>}>
      <Loaded live={live}>
        {({ use, versions, isModel }) => (
          <>
            {isModel && (
              <p>
                It is a model: <a href={modelAddress(name)}>where it comes from, what it does</a>
              </p>
            )}
            <Panel title="On devices">
              {use.versions.length === 0 ? (
                <p class="quiet">No device has reported it.</p>
              ) : (
                <StackedBar legend parts={use.versions.map((one) => ({ name: one.componentVersion, count: one.devices }))} />
              )}
            </Panel>
            <Panel title="Versions">
              <Versions versions={versions} use={use} mayChange={mayChange} reload={live.reload} />
            </Panel>
            <Panel title="Deployments that name it">
              <Table
                caption="Deployments"
                empty="None does."
                id={(row) => row.deploymentId}
                rows={use.deployments}
                columns={[
                  { name: "Version", cell: (row) => row.componentVersion },
                  { name: "Target", cell: (row) => targetLink(row.targetArn) },
                  {
                    name: "Deployment",
                    cell: (row) => deploymentLink(row.deploymentId, row.deploymentName),
                  },
                  {
                    name: "Rollout",
                    cell: (row) =>
                      row.rolloutPhase && (
                        <a href={`#/rollouts/${row.deploymentId}`}>
                          <Phase phase={row.rolloutPhase} />
                        </a>
                      ),
                  },
                  { name: "Status", cell: (row) => <Status value={row.isLatestForTarget ? row.deploymentStatus : "replaced"} /> },
                  { name: "Created", cell: (row) => <Time seconds={row.creationTimestamp} /> },
                ]}
              />
            </Panel>
          </>
        )}
      </Loaded>
    </Page>
  );
}
