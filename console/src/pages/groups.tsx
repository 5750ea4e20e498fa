// Groups: the targets of deployments.
import { useState } from "preact/hooks";
import { all, call } from "../api";
import { useLive } from "../live";
import { address, Confirmed, Field, Form, Loaded, Page, SearchForm, Table, useSearch } from "../ui";

interface Group {
  groupName: string;
  groupArn: string;
}

const kShown = 200;

function NewGroup({ done }: { done: () => void }) {
  const [name, setName] = useState("");
  const [description, setDescription] = useState("");
  const create = async () => {
    await call("iot", "POST", `/thing-groups/${encodeURIComponent(name)}`, {
      body: description ? { thingGroupProperties: { thingGroupDescription: description } } : {},
    });
    setName("");
    setDescription("");
    done();
  };
  return (
    <Form action="Create" send={create}>
      <Field label="New group" value={name} onInput={setName} required />
      <Field label="Description" value={description} onInput={setDescription} />
    </Form>
  );
}

export function GroupsPage({ mayChange }: { mayChange: boolean }) {
  const { filter, asked, change } = useSearch("groups", { text: "" });
  const live = useLive(() => all<Group>("iot", "/thing-groups", "thingGroups", { maxResults: 100 }, 5000), [], ["devices"]);
  const remove = (group: string) => call("iot", "DELETE", `/thing-groups/${encodeURIComponent(group)}`);
  return (
    <Page title="Groups">
      {mayChange && <NewGroup done={live.reload} />}
      <SearchForm>
        <Field label="Search" value={filter.text} onInput={(text) => change({ text })} />
      </SearchForm>
      <Loaded live={live}>
        {(list) => {
          const found = list.filter((one) => one.groupName.toLowerCase().includes(asked.text.toLowerCase()));
          return (
            <>
              <Table
                caption="Groups"
                empty={asked.text ? "No group fits." : "None yet. A deployment goes to a group or to one device."}
                id={(row) => row.groupName}
                rows={found.slice(0, kShown)}
                columns={[
                  {
                    name: "Group",
                    cell: (row) => <a href={`#/groups/${encodeURIComponent(row.groupName)}`}>{row.groupName}</a>,
                  },
                  { name: "Devices", cell: (row) => <a href={address("devices", { group: row.groupName })}>search them</a> },
                  {
                    name: "",
                    cell: (row) =>
                      mayChange && (
                        <Confirmed
                          danger
                          action="Delete"
                          question={`Delete the group ${row.groupName}? Its devices stay, and lose what only this group gives them.`}
                          run={() => remove(row.groupName).then(live.reload)}
                        />
                      ),
                  },
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
