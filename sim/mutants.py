"""Breaks the nucleus and the fleet one way after the other, and shows that the simulated seeds see each, or the test that
is named for what the rest of the system mends by itself.

    mutants.py SOURCE                      only that each mutant still fits the code
    mutants.py SOURCE WORK [NAME…]         a copy of the sources below WORK is broken, built and run

A mutant is one piece of code, which must stand in its file exactly once, and what it becomes.
"""

import pathlib
import shutil
import subprocess
import sys

SEEDS = 60  # of each kind, at most
NOT_SOURCES = shutil.ignore_patterns(".git", "build", "node_modules")

MUTANTS = {
    "a record is acknowledged before it is on the disk": (
        "src/io/journal.cc",
        "  if (auto synced = file_->sync(); !synced) {\n    // The kernel",
        "  if (Result<void> synced; !synced) {\n    // The kernel"),
    "a change of configuration is not written at all": (
        "src/nucleus/device_state.cc",
        "std::call_once(once, [&] { written = journal.append(record); });",
        "std::call_once(once, [&] { (void)journal; });"),
    "the switch does not wait for the download": (
        "src/nucleus/deployment_engine.cc",
        "  SKERRY_CO_TRY_OR_BLAME(Cause::kArtifact, co_await fetch(order, &planned->resolution));\n"
        "  log::info(\"deployment\", \"fetched\"",
        "  log::info(\"deployment\", \"fetched\""),
    "what was downloaded is not compared with its digest": (
        "src/nucleus/package_store.cc",
        "      if (received == artifact.digest) co_return Result<void>();",
        "      if (!received.empty()) co_return Result<void>();"),
    "a package is published without its artifacts on the disk": (
        "src/nucleus/package_store.cc",
        "if (auto finished = co_await file.finish(); !finished) {",
        "if (Result<void> finished; !finished) {"),
    "a deployment that failed is kept": (
        "src/nucleus/deployment_engine.cc",
        "  if (!state_.roll_back_on_failure() && !cancelled_) {",
        "  if (!cancelled_) {"),
    # Without previous() nothing is lost: it is empty whenever this runs.
    "the packages of what runs are collected": (
        "src/nucleus/housekeeper.cc",
        "{&state_.components(), &state_.previous().components}",
        "{&state_.previous().components}"),
    "what components configure during a download is lost": (
        "src/nucleus/deployment_engine.cc",
        "  SKERRY_CO_ASSIGN_OR_BLAME(planned->next.config, Cause::kConfiguration,\n"
        "                            next_config(*document, planned->resolution));\n"
        "  if (auto agreed = co_await consult(document, &planned->next); !agreed)\n"
        "    co_return std::unexpected(std::move(agreed.error()));\n"
        "  state_.settle();\n"
        "  SKERRY_CO_ASSIGN_OR_BLAME(planned->next.config, Cause::kConfiguration,\n"
        "                            next_config(*document, planned->resolution));\n"
        "  co_return planned;",
        "  if (auto agreed = co_await consult(document, &planned->next); !agreed)\n"
        "    co_return std::unexpected(std::move(agreed.error()));\n"
        "  co_return planned;"),
    "what components configure during a roll-back is lost": (
        "src/nucleus/device_state.cc",
        "  if (phase_ != Phase::kActivating) return;\n  const auto parsed",
        "  if (phase_ == Phase::kActivating) return;\n  const auto parsed"),
    "an older revision is deployed over a newer one": (
        "src/nucleus/deployment_plan.cc",
        "value().revision >= revision) return {};",
        "value().revision >= 0) return {};"),
    "a result is reported once and not until it is taken": (
        "src/nucleus/jobs_client.cc",
        "  report_again_ = env_.loop.after(kReportAgainMs, [this] { report_results(); });",
        "  for (const JobResult& sent : std::vector(state_.unreported()))\n"
        "    (void)state_.forget_result(sent.job);"),
    "what nobody heard is not said again": (
        "src/nucleus/mqtt_router.cc",
        "    if (connected() && on_unheard_) on_unheard_();",
        "    if (false) on_unheard_();"),
    "a cancelled job goes on": (
        "src/nucleus/jobs_client.cc",
        "  engine_.cancel(next.execution ?",
        "  if (false) engine_.cancel(next.execution ?"),
    "a message for the cloud is acknowledged and not kept": (
        "src/nucleus/spool.cc",
        "            auto numbers = store.append(messages, now_ms);",
        "            std::vector<Result<int64_t>> numbers(messages.size(), store.end() + 0 * now_ms);"),
    "the fleet takes a contradiction to a final report": (
        "src/fleet/jobs.cc",
        "  if (is_terminal(before->status)) {\n    return rejected(\"InvalidStateTransition\",",
        "  if (is_terminal(before->status) && false) {\n    return rejected(\"InvalidStateTransition\","),
    "the fleet forgets to queue for who joins a group": (
        "src/fleet/deployments.cc",
        "    SKERRY_TRY(store.queue_execution(latest->job_id, thing, env_.clock.wall_ms()));\n    tell(store, {thing});",
        "    tell(store, {thing});"),
    "the fleet does not deploy again what a device has lost": (
        "src/fleet/deployments.cc",
        "    for (const auto& [sequence, job] : again) {\n      SKERRY_TRY(store.queue_execution(",
        "    for (const auto& [sequence, job] : std::map<int64_t, JobId>()) {\n      SKERRY_TRY(store.queue_execution("),
    "the fleet's status of a device is that of its first report": (
        "src/fleet/fleet_status.cc",
        "  return replaces(status) ? store.replace_installed_components(status.thing, installed)\n"
        "                          : store",
        "  return replaces(status) && status.sequence_number == 1\n"
        "             ? store.replace_installed_components(status.thing, installed)\n"
        "             : store"),
}

# What costs work done twice or a report that comes late, and ends well all the same: which target's which test sees it.
TESTS = {
    "a result is reported once and not until it is taken":
        ("sim_test", "NucleusJobs.AResultIsReportedUntilItIsTaken"),
    "a cancelled job goes on": ("sim_test", "Hanging.ACancelEndsItInWhateverStepItIs"),
    "what nobody heard is not said again": ("nucleus_test", "MqttRouterTest.WhatTheNucleusSaysToNobodyIsToBeSaidAgainUntilItIsHeard"),
}


def broken(source, name):
    """The text of the mutant's file."""
    path, text, becomes = MUTANTS[name]
    code = (source / path).read_text()
    assert code.count(text) == 1, f"'{name}' does not fit {path} any more: change it in {__file__}"
    return code.replace(text, becomes)


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def build(copy, target="skerry-sim"):
    code, output = run("ninja", "-C", str(copy / "build/release"), "-j", "2", target)
    assert code == 0, output


def seen_by_test(copy, name):
    """The test that sees it, or nothing."""
    if name not in TESTS:
        return None
    target, test = TESTS[name]
    build(copy, target)
    code, output = run(str(copy / "build/release/bin" / target), f"--gtest_filter={test}")
    assert "[  PASSED  ] 0 tests" not in output or code != 0, f"there is no test {test}"
    return f"{test} fails" if code != 0 else None


def seen_by_seeds(copy):
    """What the first seed says that sees it, or nothing."""
    for kind in ((), ("--liveness",)):
        code, output = run(str(copy / "build/release/bin/skerry-sim"), "--seeds", str(SEEDS), *kind)
        found = [line for line in output.splitlines() if line.startswith("seed ")]
        if code != 0:
            return found[0] if found else f"ends with {code}: {output[-300:]}"
    return None


def main(source, work, names):
    copy = work / "sources"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(source, copy, ignore=NOT_SOURCES)
    code, output = run("cmake", "-S", str(copy), "--preset", "release")
    assert code == 0, output
    build(copy)
    missed = []
    for name in names:
        path = MUTANTS[name][0]
        (copy / path).write_text(broken(source, name))
        build(copy)
        seen = seen_by_test(copy, name) or seen_by_seeds(copy)
        print(f"{name}: {seen or 'NOT SEEN'}", flush=True)
        if not seen:
            missed.append(name)
        shutil.copyfile(source / path, copy / path)
    assert not missed, f"neither {SEEDS} seeds of each kind nor a test see: {missed}"


if __name__ == "__main__":
    SOURCE = pathlib.Path(sys.argv[1]).resolve()
    for each in MUTANTS:
        broken(SOURCE, each)
    if len(sys.argv) > 2:
        main(SOURCE, pathlib.Path(sys.argv[2]).resolve(), sys.argv[3:] or list(MUTANTS))
