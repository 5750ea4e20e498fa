// Published versions of models: searched by where they come from, and the devices that run what was
// found.
import { all, call } from "../api";
import { useLive } from "../live";
import { address, deviceLink, Empty, Field, Loaded, Page, Panel, SearchForm, Status, Table, useSearch, usePages } from "../ui";
import type { VersionCount } from "./overview";

export interface Provenance {
  model: string;
  artifact?: string;
  artifactSha256?: string;
  trainedOn?: string;
  dataset?: string;
  datasetVersion?: string;
  sourceSha256?: string;
  trainingRun?: string;
  licence?: string;
  metric?: string;
  metrics?: Record<string, number>;
  optimiser?: Record<string, string>;
}
export interface Model extends Provenance {
  component: string;
  version: string;
  createdBy: string;
  created: number;
  release?: string;
  tags: string[];
}
export interface Running {
  thing: string;
  state: string;
  model: Model;
}

export function modelAddress(component: string, version = ""): string {
  return `#/models/${encodeURIComponent(component)}${version && `/${encodeURIComponent(version)}`}`;
}

export function modelLink(model: { component: string; version: string }) {
  return <a href={modelAddress(model.component, model.version)}>{model.version}</a>;
}

export function datasetOf(model: Provenance): string {
  return [model.dataset, model.datasetVersion].filter(Boolean).join(" ");
}

export function datasetLink(model: Provenance) {
  if (!model.dataset) return "";
  const { dataset, datasetVersion = "" } = model;
  return <a href={address("models", { dataset, datasetVersion })}>{datasetOf(model)}</a>;
}

export function sourceLink(sha256: string | undefined) {
  if (!sha256) return "";
  return (
    <a href={address("models", { sourceSha256: sha256 })} title={sha256}>
      <code>{sha256.slice(0, 12)}</code>
    </a>
  );
}

export function metricOf(model: Provenance): string {
  if (!model.metric) return "";
  return `${model.metric} ${model.metrics?.[model.metric] ?? ""}`;
}

export function Tags({ tags }: { tags: string[] }) {
  return (
    <>
      {tags.map((tag) => (
        <span key={tag} class="tag strong">
          {tag}
        </span>
      ))}
    </>
  );
}

// Which devices run what the query names, by their own word.
export function RunningDevices({ query }: { query: Record<string, string> }) {
  const pages = usePages();
  const live = useLive(
    () =>
      call<{ running: Running[]; nextToken?: string }>("skerry", "GET", "/skerry/v1/runningModels", {
        query: { ...query, maxResults: 50, nextToken: pages.token },
      }),
    [JSON.stringify(query), pages.token],
    ["devices"],
  );
  return (
    <Loaded live={live}>
      {(page) => (
        <>
          <Table
            caption="Devices that run it"
            empty="No device has reported that it runs this."
            id={(row) => `${row.thing} ${row.model.component}`}
            rows={page.running}
            columns={[
              { name: "Device", cell: (row: Running) => deviceLink(row.thing) },
              { name: "State", cell: (row: Running) => <Status value={row.state} /> },
              { name: "Model", cell: (row: Running) => row.model.component },
              { name: "Version", cell: (row: Running) => modelLink(row.model) },
            ].filter(({ name }) => !(name.toLowerCase() in query) && !(name === "Model" && "component" in query))}
          />
          <pages.Pager next={page.nextToken} />
        </>
      )}
    </Loaded>
  );
}

const kNothing = { text: "", dataset: "", datasetVersion: "", sourceSha256: "" };

export function ModelsPage() {
  const { filter, asked, change } = useSearch("models", kNothing);
  const { text, ...origin } = asked;
  const live = useLive(
    async () => ({
      models: await all<Model>("skerry", "/skerry/v1/models", "models", origin),
      counts: (await call<{ components: VersionCount[] }>("skerry", "GET", "/skerry/v1/overview")).components,
    }),
    [JSON.stringify(origin)],
    ["devices", "deployments"],
  );
  const isTraced = Object.values(origin).some((value) => value !== "");
  return (
    <Page title="Models">
      <SearchForm>
        <Field label="Name" value={filter.text} onInput={(value) => change({ text: value })} />
        <Field label="Data set" value={filter.dataset} onInput={(dataset) => change({ dataset })} />
        <Field label="Its version" value={filter.datasetVersion} onInput={(datasetVersion) => change({ datasetVersion })} />
        <Field label="Source (SHA-256)" value={filter.sourceSha256} onInput={(sourceSha256) => change({ sourceSha256 })} />
      </SearchForm>
      <Loaded live={live}>
        {({ models, counts }) => {
          const devicesOf = (model: Model) =>
            counts.find((one) => one.componentName === model.component && one.componentVersion === model.version)?.devices ?? 0;
          return (
            <Table
              caption="Models"
              empty={isTraced || text ? "No model fits." : <>None yet. Publish one: <code>skerry model publish</code></>}
              id={(row) => `${row.component} ${row.version}`}
              rows={models.filter((one) => one.component.includes(text) || one.model.includes(text))}
              columns={[
                { name: "Model", cell: (row) => <a href={modelAddress(row.component)}>{row.component}</a> },
                {
                  name: "Version",
                  cell: (row) => (
                    <>
                      {modelLink(row)} <Tags tags={row.tags} />
                    </>
                  ),
                },
                { name: "Trained", cell: (row) => row.trainedOn ?? "" },
                { name: "Data set", cell: datasetLink },
                { name: "Source", cell: (row) => sourceLink(row.sourceSha256) },
                { name: "Metric", cell: metricOf },
                {
                  name: "Devices",
                  cell: (row) => (
                    <a href={address("devices", { component: row.component, version: row.version })}>{devicesOf(row)}</a>
                  ),
                },
              ]}
            />
          );
        }}
      </Loaded>
      {isTraced ? (
        <Panel title="Devices that run these">
          <RunningDevices query={origin} />
        </Panel>
      ) : (
        live.data && live.data.models.length > 0 && (
          <Empty>Name a data set or a source to see every device that runs what was made from it.</Empty>
        )
      )}
    </Page>
  );
}
