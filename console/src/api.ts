// The fleet's API through the console's session: the same operations as the AWS SDKs and the
// command line call, with the operator's role.

export interface Session {
  name: string;
  role: "viewer" | "deployer" | "admin";
  csrf: string;
}

export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

type Json = Record<string, unknown>;
export type Query = Record<string, string | number | undefined>;

let csrf = "";
let onSignedOut = () => {};

// Called when the session has ended, wherever that is noticed.
export function whenSignedOut(action: () => void) {
  onSignedOut = action;
}

async function request<T>(method: string, path: string, body?: Json): Promise<T> {
  const headers: Record<string, string> = {};
  if (method !== "GET") headers["X-CSRF-Token"] = csrf;
  if (body) headers["Content-Type"] = "application/json";
  let answer: Response;
  try {
    answer = await fetch("/console" + path, { method, headers, body: body && JSON.stringify(body) });
  } catch {
    throw new ApiError(0, "The control plane does not answer.");
  }
  const text = await answer.text();
  let json: Json = {};
  try {
    if (text) json = JSON.parse(text) as Json;
  } catch {
    json = { message: text };
  }
  if (answer.ok) return json as T;
  if (answer.status === 401 && path !== "/session") onSignedOut();
  throw new ApiError(answer.status, String(json["message"] ?? json["Message"] ?? answer.statusText));
}

function remember(session: Session): Session {
  csrf = session.csrf;
  return session;
}

export async function currentSession(): Promise<Session | null> {
  try {
    return remember(await request<Session>("GET", "/session"));
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return null;
    throw error;
  }
}

export async function logIn(name: string, password: string): Promise<Session> {
  return remember(await request<Session>("POST", "/session", { name, password }));
}

export function logOut(): Promise<unknown> {
  return request("DELETE", "/session");
}

function withQuery(path: string, query: Query): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== "") parameters.set(name, String(value));
  }
  const text = parameters.toString();
  return text ? `${path}?${text}` : path;
}

// One operation: call("iot", "GET", "/things").
export function call<T>(
  service: "greengrass" | "iot" | "skerry",
  method: string,
  path: string,
  { query = {}, body }: { query?: Query; body?: Json } = {},
): Promise<T> {
  return request<T>(method, `/api/${service}${withQuery(path, query)}`, body);
}

// Every element of a list, over all of its pages, at most `most`.
export async function all<T>(
  service: "greengrass" | "iot" | "skerry",
  path: string,
  list: string,
  query: Query = {},
  most = 1000,
): Promise<T[]> {
  const items: T[] = [];
  let token: string | undefined;
  do {
    const page: Record<string, unknown> = await call(service, "GET", path, {
      query: { ...query, nextToken: token },
    });
    items.push(...(page[list] as T[]));
    token = page["nextToken"] as string | undefined;
  } while (token && items.length < most);
  return items;
}
