// Operators of the console and access keys of programs.
import { useState } from "preact/hooks";
import { call } from "../api";
import { useLive } from "../live";
import { Choice, Confirmed, Field, Form, Loaded, Page, Panel, Status, Table, Time, type Column } from "../ui";

interface Operator {
  name: string;
  role: string;
  enabled: boolean;
  created: number;
}
interface Key extends Operator {
  accessKeyId: string;
}

const kRoles = ["viewer", "deployer", "admin"].map((role) => ({ value: role, text: role }));

// Of operators and keys alike.
const commonColumns: Column<Operator>[] = [
  { name: "Role", cell: (row) => row.role },
  { name: "State", cell: (row) => <Status value={row.enabled ? "enabled" : "disabled"} /> },
  { name: "Since", cell: (row) => <Time seconds={row.created} /> },
];

function NewOperator({ done }: { done: () => void }) {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [role, setRole] = useState("viewer");
  const add = async () => {
    await call("skerry", "POST", "/skerry/v1/operators", { body: { name, role, password } });
    setName("");
    setPassword("");
    done();
  };
  return (
    <Form action="Add" send={add}>
      <Field label="Name" value={name} onInput={setName} required />
      <Field label="Password" type="password" value={password} onInput={setPassword} required />
      <Choice label="Role" value={role} options={kRoles} onChange={setRole} />
    </Form>
  );
}

// What can be done to one operator; each change logs that one out.
function OperatorActions({ operator, done }: { operator: Operator; done: () => void }) {
  const [password, setPassword] = useState("");
  const { name, enabled } = operator;
  const at = `/skerry/v1/operators/${encodeURIComponent(name)}`;
  const change = (body: Record<string, unknown>) => call("skerry", "PATCH", at, { body }).then(done);
  return (
    <details>
      <summary>Change {name}</summary>
      <div class="actions">
        {kRoles
          .filter(({ value }) => value !== operator.role)
          .map(({ value }) => (
            <Confirmed
              key={value}
              action={`Make ${value}`}
              question={`${name} is logged out, and has the role ${value} from the next login on.`}
              run={() => change({ role: value })}
            />
          ))}
        <Confirmed
          danger={enabled}
          action={enabled ? "Lock out" : "Let in again"}
          question={enabled ? `${name} is logged out now and cannot log in.` : `${name} may log in again.`}
          run={() => change({ enabled: !enabled })}
        />
        <Confirmed
          danger
          action="Delete"
          question={`${name} is logged out and forgotten; the audit log keeps what ${name} did.`}
          run={() => call("skerry", "DELETE", at).then(done)}
        />
      </div>
      <Form action="Set password" send={() => change({ password }).then(() => setPassword(""))} disabled={!password}>
        <Field label={`New password of ${name}`} type="password" value={password} onInput={setPassword} required />
      </Form>
    </details>
  );
}

function Operators() {
  const live = useLive(() => call<{ operators: Operator[] }>("skerry", "GET", "/skerry/v1/operators"), []);
  return (
    <Panel title="Operators">
      <NewOperator done={live.reload} />
      <Loaded live={live}>
        {({ operators }) => (
          <Table
            caption="Operators"
            empty="None."
            id={(row) => row.name}
            rows={operators}
            columns={[
              { name: "Operator", cell: (row) => row.name },
              ...commonColumns,
              { name: "", cell: (row) => <OperatorActions operator={row} done={live.reload} /> },
            ]}
          />
        )}
      </Loaded>
    </Panel>
  );
}

function Keys() {
  const live = useLive(
    () => call<{ accessKeys: Key[] }>("skerry", "GET", "/skerry/v1/accessKeys"),
    [],
  );
  const at = (id: string) => `/skerry/v1/accessKeys/${encodeURIComponent(id)}`;
  return (
    <Panel title="Access keys">
      <p class="quiet">
        Made on the command line, where their secret can be kept:{" "}
        <code>skerry key create NAME --role deployer --out FILE</code>
      </p>
      <Loaded live={live}>
        {({ accessKeys }) => (
          <Table
            caption="Access keys"
            empty="None but the fleet's own."
            id={(row) => row.accessKeyId}
            rows={accessKeys}
            columns={[
              { name: "Key", cell: (row) => <code>{row.accessKeyId}</code> },
              { name: "Name", cell: (row) => row.name },
              ...commonColumns,
              {
                name: "",
                cell: (row) => (
                  <Confirmed
                    danger
                    action={row.enabled ? "Disable" : "Enable"}
                    question={`${row.name}'s key ${row.enabled ? "is refused from now on" : "works again"}.`}
                    run={() =>
                      call("skerry", "PATCH", at(row.accessKeyId), {
                        body: { enabled: !row.enabled },
                      }).then(live.reload)
                    }
                  />
                ),
              },
            ]}
          />
        )}
      </Loaded>
    </Panel>
  );
}

interface Login {
  sequence: number;
  at: number;
  actor: string;
  operation: string;
  details: { from?: string };
}
const kWhat: Record<string, string> = {
  "console:LogIn": "logged in",
  "console:LogOut": "logged out",
  "console:RefuseLogIn": "refused",
};

function Logins() {
  const live = useLive(
    () => call<{ entries: Login[] }>("skerry", "GET", "/skerry/v1/audit", { query: { text: "console:", maxResults: 25 } }),
    [],
  );
  return (
    <Panel title="Logins" beside={<a href="#/audit?text=console%3A">All of them</a>}>
      <Loaded live={live}>
        {({ entries }) => (
          <Table
            caption="Logins"
            empty="Nobody has logged in."
            id={(row) => String(row.sequence)}
            rows={entries}
            columns={[
              { name: "Time", cell: (row) => <Time seconds={row.at} /> },
              { name: "Operator", cell: (row) => row.actor },
              { name: "What", cell: (row) => kWhat[row.operation] ?? row.operation },
              { name: "From", cell: (row) => row.details.from ?? "" },
            ]}
          />
        )}
      </Loaded>
    </Panel>
  );
}

export function AccessPage() {
  return (
    <Page title="Access">
      <Logins />
      <Operators />
      <Keys />
    </Page>
  );
}
