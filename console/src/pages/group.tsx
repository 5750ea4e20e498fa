// One group: its devices, and what it was given to run.
import { useState } from "preact/hooks";
import { call } from "../api";
import { useLive } from "../live";
import { Confirmed, Field, Form, Loaded, Page, Panel, Table, usePages } from "../ui";
import { deploymentColumns, type Deployment } from "./deployments";
import { deviceColumns, type DeviceRow } from "./devices";

interface Described {
  thingGroupArn: string;
  thingGroupProperties?: { thingGroupDescription?: string };
}

function AddDevice({ group, done }: { group: string; done: () => void }) {
  const [thing, setThing] = useState("");
  const add = async () => {
    await call("iot", "PUT", "/thing-groups/addThingToThingGroup", { body: { thingGroupName: group, thingName: thing } });
    setThing("");
    done();
  };
  return (
    <Form action="Add" send={add}>
      <Field label="Device to add" value={thing} onInput={setThing} required />
    </Form>
  );
}

function Members({ group, mayChange }: { group: string; mayChange: boolean }) {
  const pages = usePages();
  const live = useLive(
    () =>
      call<{ devices: DeviceRow[]; nextToken?: string }>("skerry", "GET", "/skerry/v1/devices", {
        query: { group, maxResults: 50, nextToken: pages.token },
      }),
    [group, pages.token],
    ["devices"],
  );
  const leave = (thing: string) =>
    call("iot", "PUT", "/thing-groups/removeThingFromThingGroup", { body: { thingGroupName: group, thingName: thing } });
  const action = {
    name: "",
    cell: (row: DeviceRow) => (
      <Confirmed
        danger
        action="Remove"
        question={`${row.thingName} leaves ${group} and loses what only this group gives it.`}
        run={() => leave(row.thingName).then(live.reload)}
      />
    ),
  };
  return (
    <Panel title="Devices">
      {mayChange && <AddDevice group={group} done={live.reload} />}
      <Loaded live={live}>
        {(page) => (
          <>
            <Table
              caption="Devices"
              empty="No device is in it."
              id={(row) => row.thingName}
              rows={page.devices}
              columns={mayChange ? [...deviceColumns, action] : deviceColumns}
            />
            <pages.Pager next={page.nextToken} />
          </>
        )}
      </Loaded>
    </Panel>
  );
}

export function GroupPage({ name, mayChange }: { name: string; mayChange: boolean }) {
  const at = `/thing-groups/${encodeURIComponent(name)}`;
  const live = useLive(
    async () => {
      const group = await call<Described>("iot", "GET", at);
      const { deployments } = await call<{ deployments: Deployment[] }>("greengrass", "GET", "/greengrass/v2/deployments", {
        query: { targetArn: group.thingGroupArn, historyFilter: "ALL", maxResults: 20 },
      });
      return { group, deployments };
    },
    [name],
    ["devices", "deployments"],
  );
  return (
    <Page title={name} above={<a href="#/groups">Groups</a>}>
      <Loaded live={live}>
        {({ group, deployments }) => (
          <>
            {group.thingGroupProperties?.thingGroupDescription && <p>{group.thingGroupProperties.thingGroupDescription}</p>}
            <Panel title="Deployments">
              <Table
                caption="Deployments"
                empty="It was given none."
                id={(row) => row.deploymentId}
                rows={deployments}
                columns={deploymentColumns}
              />
            </Panel>
          </>
        )}
      </Loaded>
      <Members group={name} mayChange={mayChange} />
    </Page>
  );
}
