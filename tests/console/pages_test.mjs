// What pages_test.py runs in a browser. Everything is found as a person would find it: by role
// and label.
import assert from "node:assert/strict";
import { createRequire } from "node:module";

const { chromium } = createRequire(`${process.env.MODULES}/`)("playwright-core");
const { URL: url, SCREENSHOTS: folder, PROFILE: profile } = process.env;

const context = await chromium.launchPersistentContext(profile, {
  executablePath: "/usr/bin/chromium",
  headless: true,
  viewport: { width: 1200, height: 800 },
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});
const page = context.pages()[0] ?? (await context.newPage());
const problems = [];
page.on("pageerror", (error) => problems.push(`page: ${error.message}`));
page.on("console", (message) => {
  if (message.type() === "error" && !/status of (400|401|404)/.test(message.text())) problems.push(message.text());
});
page.on("request", (request) => {
  if (!request.url().startsWith(new URL("/", url).href) && !request.url().startsWith("data:")) {
    problems.push(`leaves the machine: ${request.url()}`);
  }
});

let shots = 0;
async function look(name) {
  if (folder) await page.screenshot({ path: `${folder}/${++shots}-${name}.png`, fullPage: true });
}
const link = (name) => page.getByRole("link", { name, exact: true });
const button = (name) => page.getByRole("button", { name, exact: true });
const heading = (name) => page.getByRole("heading", { name, level: 1 });

const steps = {
  async "a wrong password is told"() {
    await page.goto(url);
    await page.getByLabel("Operator").fill("ada");
    await page.getByLabel("Password").fill("not the password");
    await button("Log in").click();
    await page.getByRole("alert").getByText("name or password is wrong").waitFor();
  },
  async "logging in by keyboard"() {
    await page.getByLabel("Password").fill("long enough for a test");
    await page.keyboard.press("Enter");
    await heading("Fleet").waitFor();
    await page.getByText("120").first().waitFor();
    await look("fleet");
  },
  async "devices are searched and paged"() {
    await link("Devices").click();
    await link("press-000").waitFor();
    await button("Next").click();
    await link("press-099").waitFor();
    await page.getByLabel("Name or attribute").fill("press-11");
    await link("press-110").waitFor();
    assert.equal(await page.getByRole("row").count(), 11);
    await look("devices");
    await link("press-110").click();
    await heading("press-110").waitFor();
    await page.getByText("site=hall-2").waitFor();
    await page.getByText("It has never connected").waitFor();
  },
  async "names with markup stay text"() {
    await link("Deployments").click();
    await page.getByText("<img src=x").waitFor();
    assert.equal(await page.title(), "Deployments – Skerry");
    await look("deployments");
  },
  async "a deployment is made, seen live, and cancelled"() {
    await page.getByText("New deployment").click();
    await page.getByLabel("Group").selectOption("plant");
    await page.getByLabel("Component").selectOption("com.example.Detector");
    assert.equal(await page.getByLabel("Version").inputValue(), "1.1.0");
    await button("Deploy").click();
    await heading("Deployment").waitFor();
    await link("press-001").waitFor();
    await page.getByRole("img", { name: "QUEUED: 3" }).waitFor();
    await look("deployment");
    await button("Cancel").first().click();
    await page.getByRole("dialog").getByText("never get it").waitFor();
    await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
    await page.getByText("CANCELED").first().waitFor();
  },
  async "the audit log says who did it"() {
    await link("Audit log").click();
    await page.getByText("greengrass:CancelDeployment").waitFor();
    await page.getByText("ada (admin)").first().waitFor();
    await look("audit");
  },
  async "operators are added here"() {
    await link("Access").click();
    await page.getByLabel("Name").fill("bob");
    await page.getByLabel("Password").fill("short");
    await button("Add").click();
    await page.getByRole("alert").getByText("password").waitFor();
    await page.getByLabel("Password").fill("long enough, too");
    await button("Add").click();
    await page.getByRole("cell", { name: "bob" }).waitFor();
    await look("access");
  },
  async "nothing is wider than a phone, in the dark"() {
    await page.emulateMedia({ colorScheme: "dark" });
    await page.setViewportSize({ width: 360, height: 740 });
    for (const name of ["Fleet", "Devices", "Groups", "Components", "Deployments", "Audit log"]) {
      await link(name).click();
      await heading(name).waitFor();
      await page.waitForTimeout(300);
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= 360, `${name} is ${width} wide`);
      await look(`phone-${name}`);
    }
  },
  async "logging out ends it"() {
    await button("Log out").click();
    await heading("Log in").waitFor();
    await page.goto(`${url}#/devices`);
    await heading("Log in").waitFor();
  },
};

let failed = 0;
for (const [name, step] of Object.entries(steps)) {
  try {
    await step();
    console.log(`ok ${name}`);
  } catch (error) {
    console.log(`not ok ${name}: ${error.message}`);
    await look("failed");
    failed = 1;
    break; // each step goes on from the one before
  }
}
for (const problem of problems) console.log(`not ok: ${problem}`);
await context.close();
process.exit(failed || problems.length > 0 ? 1 : 0);
