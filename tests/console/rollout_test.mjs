// What rollout_test.py runs in a browser: releases by stages, one that goes through, one that takes itself back, one that
// an operator takes back.
import assert from "node:assert/strict";
import { button, checkLooks, confirm, heading, link, logIn, look, page, region, run } from "./browser.mjs";

async function deployByStages(version, approval, gates = []) {
  await link("Deployments").click();
  await page.getByText("New deployment").click();
  await page.getByLabel("Group", { exact: true }).selectOption("plant");
  await page.getByLabel("Component").selectOption("com.example.Detector");
  await page.getByLabel("Version").fill(version);
  await page.getByLabel("How", { exact: true }).selectOption("stages");
  await page.getByLabel("Canary group").selectOption("canaries");
  await page.getByLabel("Stages, in percent").fill("50, 100");
  await page.getByLabel("Minutes to watch").fill("0");
  await page.getByLabel("Approval").selectOption(approval);
  for (const gate of gates) await page.getByLabel(gate).check();
  await look(`form-${version}`);
  await button("Deploy").click();
  await heading("Rollout").waitFor();
}
const phase = (text) => page.locator(".facts .status", { hasText: text }).waitFor();
const stage = (number) => page.getByRole("list", { name: "Stages" }).getByRole("listitem").nth(number - 1);

await run({
  async "a release waits for approval after its canaries"() {
    await logIn();
    await deployByStages("2.0.0", "first");
    await phase("waits for approval");
    await stage(1).getByRole("img", { name: "4 of 4 devices asked, 4 have answered" }).waitFor();
    await stage(2).getByText("not begun").waitFor();
    await checkLooks("approval");
  },
  async "it is paused and resumed"() {
    await confirm("Pause", /No further device is asked/);
    await phase("paused");
    assert.equal(await button("Pause").count(), 0);
    await confirm("Resume", /Go on/);
    await phase("waits for approval");
  },
  async "a dialog that is left changes nothing"() {
    await button("Approve").click();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "hidden" });
    await button("Approve").click();
    await page.keyboard.press("Enter"); // what has the focus leaves it
    await page.getByRole("dialog").waitFor({ state: "hidden" });
    await phase("waits for approval");
  },
  async "approved, it fills the fleet"() {
    await confirm("Approve", /Stage 1 of 3 is fine/);
    await phase("completed");
    await stage(3).getByText("fine").waitFor();
    await region("What happened").getByText("stage 1 approved").waitFor();
    await checkLooks("completed");
  },
  async "a bad release is stopped at its canaries, and they go back"() {
    await deployByStages("3.0.0", "");
    await page.getByText("Stopped in stage 1 of 3").waitFor();
    await phase("rolling back");
    await stage(1).getByText("stopped here").waitFor();
    await region("On their way back").waitFor();
    await checkLooks("rolling-back");
    await phase("rolled back");
    await region("On their way back").getByText("4 of 4").waitFor();
    await region("Gates").getByText("worse").waitFor();
    await region("Gates").getByRole("img", { name: /release .* to .*control/ }).waitFor();
    await stage(2).getByText("not begun").waitFor();
    assert.equal(await button("Approve").count() + (await button("Roll back").count()), 0);
    await checkLooks("rolled-back");
  },
  async "the device says why"() {
    await region("On their way back").getByRole("link", { name: "Device by device" }).click();
    await page.getByText("SUCCEEDED").first().waitFor();
    await link("cam-00").click();
    await heading("cam-00").waitFor();
    const failure = region("Last failure");
    await failure.getByText("Startup ended with exit code 1: <b>no such label</b>").waitFor();
    await failure.getByText("COMPONENT_STARTUP_ERROR").waitFor();
    await failure.getByRole("region", { name: "Log of com.example.Detector 3.0.0" }).getByText("no such file: <b>labels.txt</b>").waitFor();
    await page.getByText("3 errors of components, 3 restarts").waitFor();
    await page.getByText("connected").waitFor();
    await region("Components").getByText("2.0.0").waitFor();
    await checkLooks("device");
  },
  async "from the device to its model, and from the data set to all devices"() {
    await region("Models").getByRole("link", { name: "com.example.Detector 2.0.0" }).click();
    await heading("com.example.Detector 2.0.0").waitFor();
    const graph = page.getByRole("group", { name: "Provenance" });
    await graph.getByRole("link", { name: /^24 devices/ }).waitFor();
    await region("What it does").getByText("class 0").waitFor();
    await region("What it does").getByRole("img", { name: /Mean confidence: .* in 4 hours/ }).waitFor();
    await checkLooks("model-version");
    await graph.getByRole("link", { name: /^street 2/ }).click();
    await heading("Models").waitFor();
    await region("Devices that run these").getByRole("link", { name: "cam-23" }).waitFor();
    await checkLooks("models-of-data");
  },
  async "a tag points at a version, and it is said who let it"() {
    await page.getByRole("cell", { name: /2.0.0/ }).getByRole("link").first().click();
    await confirm("Promote", /points at 2.0.0/);
    await region("Tags").getByRole("cell", { name: "ada" }).waitFor();
    await page.getByRole("navigation", { name: "Main" }).getByRole("link", { name: "Models" }).click();
    await page.getByRole("row", { name: /2\.0\.0/ }).getByText("production").waitFor();
    await checkLooks("models");
    await page.getByRole("link", { name: "com.example.Detector", exact: true }).first().click();
    await page.getByRole("group", { name: "Provenance" }).getByRole("link", { name: /^1.0.0/ }).waitFor();
    await checkLooks("model");
  },
  async "an operator takes a good one back"() {
    await deployByStages("2.1.0", "each");
    await phase("waits for approval");
    await confirm("Roll back", /4 of 24 devices/);
    await phase("rolled back");
    await region("What happened").getByText("rolled back by an operator").first().waitFor();
    assert.equal(await page.getByText("Stopped in stage").count(), 0);
  },
  async "a release that runs well and is less sure of what it sees is found by that, and goes back"() {
    await deployByStages("2.2.0", "", ["confidence of models"]);
    await page.getByText("Stopped in stage 1 of 3").waitFor();
    await stage(1).getByText("stopped here").waitFor();
    await phase("rolled back");
    await region("On their way back").getByText("4 of 4").waitFor();
    await region("Gates").getByText(/detector 2\.2\.0 against 2\.0\.0/).waitFor();
    await stage(2).getByText("not begun").waitFor();
    await checkLooks("less-sure");
  },
  async "the fleet shows what became of it"() {
    await link("Fleet").click();
    await page.getByRole("region", { name: "Versions on devices" }).getByRole("img", { name: "2.0.0: 24" }).waitFor();
    await checkLooks("fleet");
    await link("Rollouts").first().click();
    await page.getByText("rolled back by an operator").first().waitFor();
    await checkLooks("rollouts");
    await link("Components").first().click();
    await link("com.example.Detector").click();
    await region("Deployments that name it").getByText("3.0.0").waitFor();
    await checkLooks("component");
  },
});
