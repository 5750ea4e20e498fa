// The console: who is logged in, and which page is shown. Addresses are after the #, so that one
// file serves all of them.
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { currentSession, logIn, logOut, whenSignedOut, type Session } from "./api";
import { disconnect } from "./live";
import { AccessPage } from "./pages/access";
import { AuditPage } from "./pages/audit";
import { ComponentsPage } from "./pages/components";
import { DeploymentPage } from "./pages/deployment";
import { DeploymentsPage } from "./pages/deployments";
import { DevicePage } from "./pages/device";
import { DevicesPage } from "./pages/devices";
import { GroupsPage } from "./pages/groups";
import { OverviewPage } from "./pages/overview";
import { RolloutPage } from "./pages/rollout";
import { RolloutsPage } from "./pages/rollouts";
import { Field, Page, Problem } from "./ui";

const kMenu = [
  { path: "", text: "Fleet" },
  { path: "devices", text: "Devices" },
  { path: "groups", text: "Groups" },
  { path: "components", text: "Components" },
  { path: "deployments", text: "Deployments" },
  { path: "rollouts", text: "Rollouts" },
  { path: "audit", text: "Audit log", admin: true },
  { path: "access", text: "Access", admin: true },
];

function currentRoute(): string[] {
  const [path = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return path.split("/").map(decodeURIComponent);
}

function Routed({ session }: { session: Session }) {
  const [route, setRoute] = useState(currentRoute);
  useEffect(() => {
    const changed = () => setRoute(currentRoute());
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  const [page, name] = [route[0] ?? "", route[1]];
  const mayChange = session.role !== "viewer";
  if (page === "") return <OverviewPage />;
  if (page === "devices") return name ? <DevicePage key={name} name={name} /> : <DevicesPage key={location.hash} />;
  if (page === "groups") return <GroupsPage mayChange={mayChange} />;
  if (page === "components") return <ComponentsPage />;
  if (page === "deployments") {
    if (name) return <DeploymentPage key={name} id={name} mayChange={mayChange} />;
    return <DeploymentsPage mayChange={mayChange} />;
  }
  if (page === "rollouts") {
    return name ? <RolloutPage key={name} id={name} mayChange={mayChange} /> : <RolloutsPage />;
  }
  if (page === "audit") return <AuditPage />;
  if (page === "access") return <AccessPage />;
  return (
    <Page title="Not found">
      <p>There is no such page.</p>
    </Page>
  );
}

function Menu({ session, onLogOut }: { session: Session; onLogOut: () => void }) {
  const [open, setOpen] = useState(currentRoute()[0]);
  useEffect(() => {
    const changed = () => setOpen(currentRoute()[0]);
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return (
    <header>
      <a class="skip" href="#app" onClick={(event) => skipToContent(event)}>
        To the content
      </a>
      <strong>Skerry</strong>
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
      <form class="narrow" onSubmit={submit}>
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
  if (session === undefined) return <p class="quiet">Loading…</p>;
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
