// Groups: the targets of deployments.
import { useState } from "preact/hooks";
import { all, call } from "../api";
import { useLive } from "../live";
import { Confirmed, Field, Loaded, Page, Problem, Table } from "../ui";

interface Group {
  groupName: string;
  groupArn: string;
}

export function GroupsPage({ mayChange }: { mayChange: boolean }) {
  const [name, setName] = useState("");
  const [error, setError] = useState<Error>();
  const live = useLive(() => all<Group>("iot", "/thing-groups", "thingGroups"), [], ["devices"]);
  const at = (group: string) => `/thing-groups/${encodeURIComponent(group)}`;
  const create = async (event: Event) => {
    event.preventDefault();
    setError(undefined);
    try {
      await call("iot", "POST", at(name), { body: {} });
      setName("");
      live.reload();
    } catch (problem) {
      setError(problem as Error);
    }
  };
  return (
    <Page title="Groups">
      {mayChange && (
        <form class="filters" onSubmit={create}>
          <Field label="New group" value={name} onInput={setName} required />
          <button class="primary">Create</button>
        </form>
      )}
      {error && <Problem error={error} />}
      <Loaded live={live}>
        {(list) => (
          <Table
            caption="Groups"
            empty="None yet."
            id={(row) => row.groupName}
            rows={list}
            columns={[
              {
                name: "Group",
                cell: (row) => (
                  <a href={`#/devices?group=${encodeURIComponent(row.groupName)}`}>{row.groupName}</a>
                ),
              },
              {
                name: "",
                cell: (row) =>
                  mayChange && (
                    <Confirmed
                      danger
                      action="Delete"
                      question={`Delete the group ${row.groupName}? Its devices stay, and lose what only this group gives them.`}
                      run={() => call("iot", "DELETE", at(row.groupName)).then(live.reload)}
                    />
                  ),
              },
            ]}
          />
        )}
      </Loaded>
    </Page>
  );
}
