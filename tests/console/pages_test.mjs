// What pages_test.py runs in a browser.
import assert from "node:assert/strict";
import { button, checkLooks, confirm, heading, link, logIn, look, page, problems, region, run, url } from "./browser.mjs";

const menu = (name) => page.getByRole("navigation", { name: "Main" }).getByRole("link", { name, exact: true });

// Every page shows names of others, and none of them is more than a name.
async function noMarkup(where) {
  if ((await page.locator("img").count()) > 0) problems.push(`${where}: a text became an element`);
  if ((await page.locator('a[href^="javascript:" i]').count()) > 0) problems.push(`${where}: a link that runs`);
  assert.notEqual(await page.title(), "owned", where);
}

await run({
  async "a wrong password is told"() {
    await page.goto(url);
    await page.getByLabel("Operator").fill("ada");
    await page.getByLabel("Password").fill("not the password");
    await button("Log in").click();
    await page.getByRole("alert").getByText("name or password is wrong").waitFor();
    await checkLooks("log-in");
  },
  async "logging in by keyboard"() {
    await logIn();
    await link("10,001 devices").waitFor();
    await region("Versions on devices").getByRole("img", { name: /1.1.0: 6666/ }).waitFor();
    await checkLooks("fleet");
  },
  async "the menu, a page and its first link by keyboard alone"() {
    await page.keyboard.press("Tab"); // from the heading on: what follows it
    const first = await page.evaluate(() => document.activeElement?.textContent);
    assert.match(first ?? "", /devices/);
    await page.keyboard.press("Enter");
    await heading("Devices").waitFor();
    assert.equal(await page.evaluate(() => document.activeElement?.tagName), "H1", "a reader hears where it is");
  },
  async "10,000 devices are searched and paged"() {
    await link("press-00000").waitFor();
    assert.equal(await page.getByRole("row").count(), 51);
    await button("Next").click();
    await link("press-00098").waitFor();
    assert.equal(await page.getByRole("row").count(), 51, "never more than a page");
    await page.getByLabel("Name or attribute").fill("press-0999");
    await link("press-09990").waitFor();
    await page.getByText("press-00098").waitFor({ state: "hidden" });
    assert.equal(await page.getByRole("row").count(), 11);
    assert.match(page.url(), /text=press-0999/, "the search can be passed on");
    await page.getByLabel("Name or attribute").fill("hall-3");
    await page.getByLabel("Status").selectOption("UNHEALTHY");
    await page.getByText("No device fits.").waitFor();
    await page.getByLabel("Status").selectOption("CONNECTED");
    await page.getByText("No device fits.").waitFor();
    await page.getByLabel("Status").selectOption("UNHEALTHY");
    await page.getByLabel("Name or attribute").fill("hall-0");
    await link("press-00100").waitFor();
    await checkLooks("devices");
    await page.reload();
    await link("press-00100").waitFor();
    await page.getByLabel("Name or attribute").fill("nothing like it");
    await page.getByText("No device fits.").waitFor();
  },
  async "a deployment to 10,000 devices is counted and paged"() {
    await menu("Deployments").click();
    await link("big").click();
    await page.getByRole("img", { name: "QUEUED: 9980, FAILED: 20" }).waitFor();
    assert.ok((await page.getByRole("row").count()) <= 53);
    await page.getByLabel("Show").selectOption("FAILED");
    await link("press-09500").waitFor();
    await checkLooks("deployment");
  },
  async "names with markup stay text, whoever wrote them"() {
    await menu("Deployments").click();
    await page.getByText("<img src=x").waitFor();
    for (const path of ["devices/liar", "components", "components/com.example.Detector", "models", "groups/yard",
      "models/com.example.Detector", "models/com.example.Detector/1.0.0", "deployments", "audit"]) {
      await page.goto(`${url}#/${path}`);
      await page.getByText("<img src=x").first().waitFor({ state: "attached" }).catch(() => {
        assert.ok(["models", "models/com.example.Detector", "audit"].includes(path), `${path} does not show it`);
      });
      await noMarkup(path);
    }
    for (const path of ["devices/%3Cimg%20src%3Dx%3E", "models/%3Cscript%3E/%00", "rollouts/..%2F..%2Faudit", "%E0%A4%A", "groups/%"]) {
      await page.goto(`${url}#/${path}`);
      await page.getByRole("heading", { level: 1 }).waitFor();
      await noMarkup(path);
    }
    await page.goto(`${url}#/devices/liar`);
    await region("Last failure").waitFor();
    const metrics = region("Metrics");
    await metrics.getByRole("img", { name: "Cpu Usage: 12 % now, 12 % to 12 % in 1 minute" }).waitFor();
    await metrics.getByLabel("In the last").selectOption("90 days");
    await metrics.getByRole("img", { name: /img src=x.*: 2.5 now.* in 1 day/ }).waitFor();
    await noMarkup("metrics");
    await checkLooks("liar");
  },
  async "a deployment is made, seen live, and cancelled"() {
    await menu("Deployments").click();
    await page.getByText("New deployment").click();
    await page.getByLabel("Group").selectOption("yard");
    await page.getByLabel("Component").selectOption("com.example.Detector");
    assert.equal(await page.getByLabel("Version").inputValue(), "1.1.0");
    await button("Deploy").click();
    await heading("Deployment").waitFor();
    await link("liar").waitFor();
    await page.getByRole("img", { name: "QUEUED: 1" }).waitFor();
    await confirm("Cancel", /never get it/);
    await page.getByText("CANCELED").first().waitFor();
  },
  async "a plan that cannot be is refused in words"() {
    await menu("Deployments").click();
    await page.getByText("New deployment").click();
    await page.getByLabel("Group", { exact: true }).selectOption("yard");
    await page.getByLabel("Component").selectOption("com.example.Detector");
    await page.getByLabel("How", { exact: true }).selectOption("stages");
    for (const percents of ["50, 10, 100", "ten", "10", ""]) {
      await page.getByLabel("Stages, in percent").fill(percents || " ");
      await button("Deploy").click();
      await page.getByRole("alert").getByText("rollout.stages").waitFor();
    }
    await look("plan-refused");
  },
  async "a group is made, filled, emptied and deleted"() {
    await menu("Groups").click();
    await page.getByLabel("New group").fill("no spaces, please");
    await button("Create").click();
    await page.getByRole("alert").getByText("thingGroupName").waitFor();
    await page.getByLabel("New group").fill("spare");
    await page.getByLabel("Description").fill("for repairs");
    await button("Create").click();
    await link("spare").click();
    await page.getByText("for repairs").waitFor();
    await page.getByLabel("Device to add").fill("press-00001");
    await button("Add").click();
    await link("press-00001").waitFor();
    await checkLooks("group");
    await confirm("Remove", /press-00001 leaves spare/);
    await page.getByText("No device is in it.").waitFor();
    await menu("Groups").click();
    await checkLooks("groups");
    await page.getByRole("row", { name: /spare/ }).getByRole("button", { name: "Delete" }).click();
    await page.getByRole("dialog", { name: /Delete the group spare/ }).getByRole("button", { name: "Delete" }).click();
    await link("spare").waitFor({ state: "hidden" });
  },
  async "the audit log says who did it, of what, and when"() {
    await menu("Audit log").click();
    await page.getByText("greengrass:CancelDeployment").waitFor();
    await page.getByText("ada (admin)").first().waitFor();
    await page.getByLabel("What, or of what").fill("spare");
    await page.getByText("iot:DeleteThingGroup").waitFor();
    await page.getByText("greengrass:CancelDeployment").waitFor({ state: "hidden" });
    await page.getByLabel("Who").fill("root");
    await page.getByText("Nothing fits.").waitFor();
    await page.getByLabel("Who").fill("ada");
    await page.getByText("iot:DeleteThingGroup").waitFor();
    await checkLooks("audit");
    await page.getByLabel("Until").fill("2020-01-01T00:00");
    await page.getByText("Nothing fits.").waitFor();
  },
  async "who logged in, and who was refused, is told"() {
    await menu("Access").click();
    const logins = region("Logins");
    await logins.getByRole("row", { name: /ada.*refused.*127\.0\.0\.1/ }).waitFor();
    await logins.getByRole("row", { name: /ada.*logged in/ }).first().waitFor();
  },
  async "operators are added, given a role, locked out and deleted"() {
    await page.getByLabel("Name").fill("bob");
    await page.getByLabel("Password", { exact: true }).fill("short");
    await button("Add").click();
    await page.getByRole("alert").getByText("password").waitFor();
    await page.getByLabel("Password", { exact: true }).fill("long enough, too");
    await button("Add").click();
    const row = page.getByRole("row", { name: /^bob/ });
    await row.getByText("Change bob").click();
    await checkLooks("access");
    const confirmed = async (action) => {
      await row.getByRole("button", { name: action, exact: true }).first().click();
      await page.locator("dialog[open]").getByRole("button", { name: action, exact: true }).click();
    };
    await confirmed("Make deployer");
    await row.getByRole("cell", { name: "deployer" }).waitFor();
    await confirmed("Lock out");
    await row.getByText("disabled").waitFor();
    await confirmed("Delete");
    await row.waitFor({ state: "hidden" });
  },
  async "logging out ends it"() {
    await button("Log out").click();
    await heading("Log in").waitFor();
    await page.goto(`${url}#/devices`);
    await heading("Log in").waitFor();
  },
  async "a viewer sees everything and is offered nothing"() {
    await logIn("vic");
    assert.equal(await menu("Audit log").count() + (await menu("Access").count()), 0);
    for (const name of ["Deployments", "Groups", "Rollouts", "Models"]) {
      await menu(name).click();
      await heading(name).waitFor();
      assert.equal(await page.locator("summary, form button").count(), 0, name);
    }
    await page.goto(`${url}#/models/com.example.Detector/1.0.0`);
    await region("Provenance").waitFor();
    assert.equal(await button("Promote").count(), 0);
    await page.goto(`${url}#/audit`);
    await page.getByRole("alert").first().waitFor();
  },
});
