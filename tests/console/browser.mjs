// A browser for the pages' tests: everything is found as a person would find it, by role and label. Its steps go on from
// one another; what the page complains of, or asks of another machine, fails the test.
import { createRequire } from "node:module";

const require = createRequire(`${process.env.MODULES}/`);
const { chromium } = require("playwright-core");
const { SCREENSHOTS: folder, PROFILE: profile } = process.env;
export const url = process.env.URL;
const kPassword = "long enough for a test";

const context = await chromium.launchPersistentContext(profile, {
  executablePath: "/usr/bin/chromium",
  headless: true,
  viewport: { width: 1280, height: 800 },
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
context.setDefaultTimeout(30_000);
export const page = context.pages()[0] ?? (await context.newPage());
export const problems = [];
page.on("pageerror", (error) => problems.push(`page: ${error.message}`));
page.on("dialog", (dialog) => {
  problems.push(`a dialog: ${dialog.message()}`);
  void dialog.dismiss();
});
page.on("console", (message) => {
  if (message.type() === "error" && !/status of (400|401|403|404|409)/.test(message.text())) problems.push(message.text());
});
page.on("request", (request) => {
  if (!request.url().startsWith(new URL("/", url).href) && !request.url().startsWith("data:")) {
    problems.push(`leaves the machine: ${request.url()}`);
  }
});

export const link = (name) => page.getByRole("link", { name, exact: true });
export const button = (name) => page.getByRole("button", { name, exact: true });
export const heading = (name) => page.getByRole("heading", { name, level: 1, exact: true });
export const region = (name) => page.getByRole("region", { name, exact: true });

export async function logIn(name = "ada") {
  await page.goto(url);
  await page.getByLabel("Operator").fill(name);
  await page.getByLabel("Password").fill(kPassword);
  await page.keyboard.press("Enter");
  await heading("Fleet").waitFor();
}

// Presses a button that asks first, and the same in the dialog.
export async function confirm(action, question) {
  await button(action).first().click();
  const dialog = page.getByRole("dialog", { name: question });
  await dialog.waitFor();
  await dialog.getByRole("button", { name: action, exact: true }).click();
  await dialog.waitFor({ state: "hidden" });
}

let shots = 0;
export async function look(name) {
  if (folder) await page.screenshot({ path: `${folder}/${String(++shots).padStart(2, "0")}-${name}.png`, fullPage: true });
}

const axe = require.resolve("axe-core/axe.min.js");

// WCAG 2.2 A and AA, as far as a program can judge them.
export async function checkAccess(name) {
  await page.evaluate((await import("node:fs")).readFileSync(axe, "utf8"));
  const { violations } = await page.evaluate(() =>
    globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }),
  );
  for (const each of violations) {
    problems.push(`${name}: ${each.id}: ${each.help}: ${each.nodes.map((node) => `${node.html} (${node.failureSummary})`).slice(0, 3).join(" | ")}`);
  }
}

// Light on a desk, dark on a phone, and where pictures are wanted the other way, too; nothing wider than the screen.
export async function checkLooks(name) {
  for (const [width, height, usual] of [[1280, 800, "light"], [360, 740, "dark"]]) {
    await page.setViewportSize({ width, height });
    for (const colorScheme of ["light", "dark"]) {
      if (colorScheme !== usual && !folder) continue;
      await page.emulateMedia({ colorScheme });
      await page.waitForTimeout(50);
      if (colorScheme === usual) await checkAccess(`${name}, ${width} wide, ${colorScheme}`);
      await look(`${name}-${width}-${colorScheme}`);
    }
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    if (wide > width) problems.push(`${name} is ${wide} wide on a screen of ${width}`);
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 1280, height: 800 });
}

export async function run(steps) {
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
}
