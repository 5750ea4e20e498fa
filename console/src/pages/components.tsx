// Components that this fleet publishes.
import { all } from "../api";
import { useLive } from "../live";
import { Field, Loaded, Page, SearchForm, Table, Time, useSearch } from "../ui";

interface Component {
  arn: string;
  componentName: string;
  latestVersion: {
    componentVersion: string;
    creationTimestamp?: number;
    description?: string;
    publisher?: string;
  };
}

const kShown = 200;

export function ComponentsPage() {
  const { filter, asked, change } = useSearch("components", { text: "" });
  const live = useLive(
    () => all<Component>("greengrass", "/greengrass/v2/components", "components", { scope: "PRIVATE" }, 5000),
    [],
    ["deployments"],
  );
  return (
    <Page title="Components">
      <SearchForm>
        <Field label="Name" value={filter.text} onInput={(text) => change({ text })} />
      </SearchForm>
      <Loaded live={live}>
        {(list) => {
          const found = list.filter((one) => one.componentName.toLowerCase().includes(asked.text.toLowerCase()));
          return (
            <>
              <Table
                caption="Components"
                empty={asked.text ? "No component fits." : <>None. Publish one: <code>skerry component publish recipe.yaml</code></>}
                id={(row) => row.arn}
                rows={found.slice(0, kShown)}
                columns={[
                  {
                    name: "Component",
                    cell: (row) => <a href={`#/components/${encodeURIComponent(row.componentName)}`}>{row.componentName}</a>,
                  },
                  { name: "Newest version", cell: (row) => row.latestVersion.componentVersion },
                  { name: "Published", cell: (row) => <Time seconds={row.latestVersion.creationTimestamp} /> },
                  { name: "Publisher", cell: (row) => row.latestVersion.publisher ?? "" },
                  { name: "Description", cell: (row) => row.latestVersion.description ?? "" },
                ]}
              />
              {found.length > kShown && <p class="quiet">The first {kShown} of {found.length}: type more of the name.</p>}
            </>
          );
        }}
      </Loaded>
    </Page>
  );
}
