// Components that this fleet publishes, and where each of them runs.
import { useState } from "preact/hooks";
import { all } from "../api";
import { useLive } from "../live";
import { Field, Loaded, Page, Table, Time } from "../ui";

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

export function ComponentsPage() {
  const [text, setText] = useState("");
  const live = useLive(
    () => all<Component>("greengrass", "/greengrass/v2/components", "components", { scope: "PRIVATE" }),
    [],
    ["deployments"],
  );
  return (
    <Page title="Components">
      <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
        <Field label="Name" value={text} onInput={setText} />
      </form>
      <Loaded live={live}>
        {(list) => (
          <Table
            caption="Components"
            empty="None. Publish one: skerry component publish recipe.yaml"
            id={(row) => row.arn}
            rows={list.filter((one) => one.componentName.includes(text))}
            columns={[
              {
                name: "Component",
                cell: (row) => (
                  <a href={`#/devices?component=${encodeURIComponent(row.componentName)}`}>
                    {row.componentName}
                  </a>
                ),
              },
              { name: "Newest version", cell: (row) => row.latestVersion.componentVersion },
              { name: "Published", cell: (row) => <Time seconds={row.latestVersion.creationTimestamp} /> },
              { name: "Publisher", cell: (row) => row.latestVersion.publisher ?? "" },
              { name: "Description", cell: (row) => row.latestVersion.description ?? "" },
            ]}
          />
        )}
      </Loaded>
    </Page>
  );
}
