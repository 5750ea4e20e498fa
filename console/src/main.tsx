// The console: who is logged in, and which page is shown. Addresses are after the #, so that one
// file serves all of them.
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { currentSession, logIn, logOut, whenSignedOut, type Session } from "./api";
import { disconnect } from "./live";
import { AccessPage } from "./pages/access";
import { AuditPage } from "./pages/audit";
import { ComponentPage } from "./pages/component";
import { ComponentsPage } from "./pages/components";
import { DeploymentPage } from "./pages/deployment";
import { DeploymentsPage } from "./pages/deployments";
import { DevicePage } from "./pages/device";
import { DevicesPage } from "./pages/devices";
import { GroupPage } from "./pages/group";
import { GroupsPage } from "./pages/groups";
import { ModelPage } from "./pages/model";
import { ModelsPage } from "./pages/models";
import { OverviewPage } from "./pages/overview";
import { RolloutPage } from "./pages/rollout";
import { RolloutsPage } from "./pages/rollouts";
import { Field, Loading, Page, Problem } from "./ui";

const kMenu = [
  { path: "", text: "Fleet" },
  { path: "devices", text: "Devices" },
  { path: "groups", text: "Groups" },
  { path: "components", text: "Components" },
  { path: "models", text: "Models" },
  { path: "deployments", text: "Deployments" },
  { path: "rollouts", text: "Rollouts" },
  { path: "audit", text: "Audit log", admin: true },
  { path: "access", text: "Access", admin: true },
];

// What somebody wrote into the address may be no encoding of anything.
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function currentRoute(): string[] {
  const [path = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return path.split("/").map(decoded);
}

function useRoute(): string[] {
  const [route, setRoute] = useState(currentRoute);
  useEffect(() => {
    const changed = () => setRoute(currentRoute());
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return route;
}

// Searches keep what was typed in their address, so a link to another search is another page.
function Routed({ session }: { session: Session }) {
  const [page = "", name = "", part = ""] = useRoute();
  const mayChange = session.role !== "viewer";
  const key = location.hash;
  switch (page) {
    case "":
      return <OverviewPage />;
    case "devices":
      return name ? <DevicePage key={key} name={name} /> : <DevicesPage key={key} />;
    case "groups":
      return name ? <GroupPage key={key} name={name} mayChange={mayChange} /> : <GroupsPage key={key} mayChange={mayChange} />;
    case "components":
      return name ? <ComponentPage key={key} name={name} mayChange={mayChange} /> : <ComponentsPage key={key} />;
    case "models":
      if (!name) return <ModelsPage key={key} />;
      return <ModelPage key={key} component={name} version={part} mayChange={mayChange} />;
    case "deployments":
      return name ? <DeploymentPage key={key} id={name} mayChange={mayChange} /> : <DeploymentsPage mayChange={mayChange} />;
    case "rollouts":
      return name ? <RolloutPage key={key} id={name} mayChange={mayChange} /> : <RolloutsPage />;
    case "audit":
      return <AuditPage key={key} />;
    case "access":
      return <AccessPage />;
  }
  return (
    <Page title="Not found">
      <p>There is no such page.</p>
    </Page>
  );
}

function Menu({ session, onLogOut }: { session: Session; onLogOut: () => void }) {
  const [open = ""] = useRoute();
  return (
    <header>
      <a class="skip" href="#app" onClick={(event) => skipToContent(event)}>
        To the content
      </a>
      <a class="brand" href="#/">
        Skerry
      </a>
      <nav aria-label="Main">
        {kMenu
          .filter((entry) => !entry.admin || session.role === "admin")
          .map((entry) => (
            <a
              key={entry.path}
              href={`#/${entry.path}`}
              aria-current={open === entry.path ? "page" : undefined}
            >
              {entry.text}
            </a>
          ))}
      </nav>
      <span class="who">
        {session.name} <span class="quiet">({session.role})</span>
      </span>
      <button onClick={onLogOut}>Log out</button>
    </header>
  );
}

function skipToContent(event: Event) {
  event.preventDefault();
  document.querySelector<HTMLElement>("main h1")?.focus();
}

function LogIn({ onDone }: { onDone: (session: Session) => void }) {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [error, setError] = useState<Error>();
  const submit = async (event: Event) => {
    event.preventDefault();
    setError(undefined);
    try {
      onDone(await logIn(name, password));
    } catch (problem) {
      setError(problem as Error);
      setPassword("");
    }
  };
  return (
    <Page title="Log in">
      <form class="panel narrow" onSubmit={submit}>
        <Field label="Operator" value={name} onInput={setName} required />
        <Field label="Password" type="password" value={password} onInput={setPassword} required />
        {error && <Problem error={error} />}
        <button class="primary">Log in</button>
        <p class="quiet">
          Operators are added on the command line: <code>skerry operator add NAME --role admin</code>
        </p>
      </form>
    </Page>
  );
}

function App() {
  const [session, setSession] = useState<Session | null | undefined>();
  const [error, setError] = useState<Error>();
  const start = () => {
    setError(undefined);
    currentSession().then(setSession, setError);
  };
  useEffect(() => {
    whenSignedOut(() => setSession(null));
    start();
  }, []);
  const leave = async () => {
    await logOut().catch(() => undefined);
    disconnect();
    setSession(null);
  };
  if (error) return <Problem error={error} retry={start} />;
  if (session === undefined) return <Loading />;
  if (session === null) return <LogIn onDone={setSession} />;
  return (
    <>
      <Menu session={session} onLogOut={leave} />
      <Routed session={session} />
    </>
  );
}

const root = document.getElementById("app");
if (root) render(<App />, root);
