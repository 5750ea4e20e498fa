// Operators of the console and access keys of programs.
import { useState } from "preact/hooks";
import { call } from "../api";
import { useLive } from "../live";
import { Choice, Confirmed, Field, Loaded, Page, Problem, Status, Table, Time, type Column } from "../ui";

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

function Operators() {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [role, setRole] = useState("viewer");
  const [error, setError] = useState<Error>();
  const live = useLive(
    () => call<{ operators: Operator[] }>("skerry", "GET", "/skerry/v1/operators"),
    [],
  );
  const at = (operator: string) => `/skerry/v1/operators/${encodeURIComponent(operator)}`;
  const add = async (event: Event) => {
    event.preventDefault();
    setError(undefined);
    try {
      await call("skerry", "POST", "/skerry/v1/operators", { body: { name, role, password } });
      setName("");
      setPassword("");
      live.reload();
    } catch (problem) {
      setError(problem as Error);
    }
  };
  return (
    <>
      <h2>Operators</h2>
      <form class="filters" onSubmit={add}>
        <Field label="Name" value={name} onInput={setName} required />
        <Field label="Password" type="password" value={password} onInput={setPassword} required />
        <Choice label="Role" value={role} options={kRoles} onChange={setRole} />
        <button class="primary">Add</button>
      </form>
      {error && <Problem error={error} />}
      <Loaded live={live}>
        {({ operators }) => (
          <Table
            caption="Operators"
            empty="None."
            id={(row) => row.name}
            rows={operators}
            columns={[
              { name: "Name", cell: (row) => row.name },
              ...commonColumns,
              {
                name: "",
                cell: (row) => (
                  <Confirmed
                    danger
                    action={row.enabled ? "Lock out" : "Let in again"}
                    question={
                      row.enabled
                        ? `${row.name} is logged out now and cannot log in.`
                        : `${row.name} may log in again.`
                    }
                    run={() =>
                      call("skerry", "PATCH", at(row.name), { body: { enabled: !row.enabled } }).then(
                        live.reload,
                      )
                    }
                  />
                ),
              },
            ]}
          />
        )}
      </Loaded>
    </>
  );
}

function Keys() {
  const live = useLive(
    () => call<{ accessKeys: Key[] }>("skerry", "GET", "/skerry/v1/accessKeys"),
    [],
  );
  const at = (id: string) => `/skerry/v1/accessKeys/${encodeURIComponent(id)}`;
  return (
    <>
      <h2>Access keys</h2>
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
    </>
  );
}

export function AccessPage() {
  return (
    <Page title="Access">
      <Operators />
      <Keys />
    </Page>
  );
}
