"""Components that misbehave, on a real device: the machine, the nucleus and the other components go on.

    hostile_test.py BIN_DIR
"""

import json
import os
import signal
import stat
import unittest
from pathlib import Path

import e2e
import testbed
from e2e import GROUP, NAME

SERVICE = "exec sleep infinity"
NOBODY = 65534
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
NEIGHBOUR = "com.example.Neighbour"
ROOT = unittest.skipUnless(os.geteuid() == 0, "only root can put components into groups of their own here")

UNIFIED = next((mount for mount in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup")
                if os.path.exists(f"{mount}/cgroup.subtree_control")), "/sys/fs/cgroup")


def remove_groups(group):
    """True when the group and all below it are gone, which they can be when their processes are."""
    for path in sorted((group, *(each for each in group.rglob("*") if each.is_dir())), reverse=True):
        try:
            path.rmdir()
        except OSError:
            return False
    return True


class Hostile(e2e.EndToEnd):
    def setUp(self):
        super().setUp()
        # An argument of `sleep` by which this test's processes are found, whatever they do to their environment.
        self.token = str(10**9 + os.getpid() * 1000 + len(self.id()))

    def processes(self):
        return [pid for pid in testbed.processes_with(self.token) if testbed.program_of(pid) == "sleep"]

    def deploy_with(self, components, **run_with):
        """Like deploy(), with runWith for NAME."""
        request = {"components": {name: {"componentVersion": version} for name, version in components.items()}}
        request["components"][NAME]["runWith"] = run_with
        path = self.bed.directory / "request.json"
        path.write_text(json.dumps(request))
        done = self.fleet._run(["deploy", "--group", GROUP, "--file", path, "--wait", "--timeout", 120], 150)
        [device] = json.loads(done.stdout)["devices"]
        self.error_stack = device.get("error_stack", [])
        return device["status"], device.get("reason", "")

    def give_to_nobody(self):
        for path in (Path(self.device.directory), *Path(self.device.directory).rglob("*")):
            os.chown(path, NOBODY, NOBODY)

    def start_with_neighbour(self):
        self.start_device()
        self.publish(NEIGHBOUR, "1.0.0", SERVICE)
        self.must_deploy({NEIGHBOUR: "1.0.0"})

    def remove(self):
        """Deploys the neighbour alone."""
        [(_, status, reason)] = self.deploy_exactly({NEIGHBOUR: "1.0.0"})
        self.assertEqual(status, "SUCCEEDED", reason)

    def deploy_exactly(self, components):
        path = self.bed.directory / "request.json"
        path.write_text(json.dumps(
            {"components": {name: {"componentVersion": version} for name, version in components.items()}}))
        done = self.fleet._run(["deploy", "--group", GROUP, "--file", path, "--wait", "--timeout", 120], 150)
        return [(each["thing"], each["status"], each.get("reason", "")) for each in json.loads(done.stdout)["devices"]]

    @ROOT
    def test_a_fork_bomb_is_contained_and_ends_with_its_component(self):
        self.start_with_neighbour()
        self.publish(NAME, "1.0.0", f"b() {{ sleep {self.token} & b | b & }}; b; wait; sleep {self.token}")
        self.begin_deployment({NAME: "1.0.0"})
        testbed.wait_for("the bomb goes off", lambda: len(self.processes()) > 50, alive=[self.device])
        self.assertLessEqual(len(self.processes()), 1024)
        self.remove()
        self.assertEqual(self.processes(), [])
        self.wait_for_components({NEIGHBOUR: ("1.0.0", "RUNNING")})

    @ROOT
    def test_a_memory_hog_is_ended_at_its_limit_and_the_reason_is_reported(self):
        self.start_with_neighbour()
        # At its start, which is waited for: on a busy machine it may take longer than the health window.
        self.publish(NAME, "1.0.0", None, lifecycle={"Startup": "head -c 2000000000 /dev/zero | tail; exit 3"})
        status, reason = self.deploy_with({NAME: "1.0.0", NEIGHBOUR: "1.0.0"},
                                          systemResourceLimits={"memory": 65536, "cpus": 0.9})
        self.assertEqual(status, "FAILED")
        self.assertIn("limit of its memory", reason)
        self.assertEqual(self.error_stack, ["DEPLOYMENT_FAILURE", "COMPONENT_UPDATE_ERROR", "COMPONENT_BROKEN"])
        self.wait_for_components({NEIGHBOUR: ("1.0.0", "RUNNING")})

    @ROOT
    def test_a_daemon_without_environment_dies_with_the_nucleus(self):
        self.start_device()
        daemon = f"setsid env -i /bin/sh -c '/usr/bin/setsid /bin/sleep {self.token} & exit'; exec sleep infinity"
        self.publish(NAME, "1.0.0", daemon)
        self.must_deploy({NAME: "1.0.0"})
        testbed.wait_for("the daemon is up", self.processes)
        self.device.kill()
        testbed.wait_for("the daemon is gone", lambda: not self.processes())

    @ROOT
    def test_a_daemon_without_environment_that_ignores_sigterm_ends_with_its_component(self):
        self.start_with_neighbour()
        stubborn = (f"setsid env -i /bin/sh -c 'trap \"\" TERM HUP INT; /bin/sleep {self.token} & "
                    f"while :; do /bin/sleep {self.token}; done' & exec sleep infinity")
        self.publish(NAME, "1.0.0", stubborn)
        self.must_deploy({NAME: "1.0.0"})
        testbed.wait_for("the daemon is up", self.processes)
        self.remove()
        self.assertEqual(self.processes(), [])

    @ROOT
    def test_a_work_folder_that_becomes_a_link_is_made_anew(self):
        victim = self.bed.directory / "victim"
        victim.mkdir(mode=0o755)
        self.start_device()
        swap = {"RequiresPrivilege": True,
                "Script": f'test -e {victim}/done || {{ touch {victim}/done; cd /; rm -r "$HOME"; ln -s {victim} "$HOME"; exit 1; }}; '
                          "exec sleep infinity"}
        self.publish(NAME, "1.0.0", swap)
        self.must_deploy({NAME: "1.0.0"})
        work = Path(self.device.root) / "work" / NAME
        self.assertFalse(work.is_symlink())
        self.assertEqual(stat.S_IMODE(work.stat().st_mode), 0o700)
        self.assertEqual((victim.stat().st_uid, stat.S_IMODE(victim.stat().st_mode)), (0, 0o755))

    @ROOT
    def test_sudo_gives_a_component_nothing(self):
        self.start_device()
        self.publish(NAME, "1.0.0", "grep NoNewPrivs /proc/self/status; exec sleep infinity")
        self.must_deploy({NAME: "1.0.0"})
        self.wait_for_output(NAME, "NoNewPrivs:\t1")

    def test_uninstall_runs_when_the_component_leaves_and_after_a_roll_back(self):
        self.start_with_neighbour()
        trace = self.bed.directory / "trace"
        trace.touch(mode=0o666)
        trace.chmod(0o666)
        self.bed.directory.chmod(0o755)

        def publish(version, run):
            folder = self.bed.directory / "packages" / NAME / version
            folder.mkdir(parents=True)
            (folder / "recipe.yaml").write_text(json.dumps(
                {"RecipeFormatVersion": "2020-01-25", "ComponentName": NAME, "ComponentVersion": version,
                 "ComponentConfiguration": {"DefaultConfiguration": {"trace": str(trace)}},
                 "Manifests": [{"Lifecycle": {
                     "Run": run, "Shutdown": f"echo shutdown {version} >> {trace}",
                     "Uninstall": f"echo uninstall {version} >> {{configuration:/trace}}"}}]}))
            self.fleet.cli("component", "publish", folder / "recipe.yaml")

        publish("1.0.0", SERVICE)
        publish("1.1.0", "exit 7")
        status, _ = self.deploy({NAME: "1.1.0"})
        self.assertEqual(status, "FAILED")
        self.assertEqual(trace.read_text().splitlines()[-1], "uninstall 1.1.0")
        trace.write_text("")
        self.must_deploy({NAME: "1.0.0"})
        self.assertEqual(trace.read_text(), "")
        self.remove()
        self.assertEqual(trace.read_text(), "shutdown 1.0.0\nuninstall 1.0.0\n")

    def test_unprivileged_what_cannot_be_enforced_is_refused_before_anything_changes(self):
        before = ()
        if os.geteuid() == 0:
            before = AS_NOBODY
            self.give_to_nobody()
        self.start_device(before=before)
        self.publish(NAME, "1.0.0", SERVICE)
        for run_with, named in (({"posixUser": "daemon"}, "runWith.posixUser"),
                                ({"systemResourceLimits": {"memory": 65536}}, "systemResourceLimits.memory"),
                                ({"systemResourceLimits": {"cpus": 0.5}}, "systemResourceLimits.cpus")):
            status, reason = self.deploy_with({NAME: "1.0.0"}, **run_with)
            self.assertEqual(status, "FAILED", run_with)
            self.assertIn(named, reason)
            self.assertEqual(self.error_stack, ["DEPLOYMENT_FAILURE", "RUN_WITH_CONFIG_NOT_VALID"])
        self.assertEqual(self.device.components(), {})
        status, reason = self.deploy_with({NAME: "1.0.0"})  # without them it runs
        self.assertEqual(status, "SUCCEEDED", reason)

    @ROOT
    @unittest.skipUnless(os.path.exists(f"{UNIFIED}/cgroup.subtree_control"), f"no control groups of version 2 at {UNIFIED}")
    def test_unprivileged_in_a_group_that_is_delegated_daemons_end_with_their_component(self):
        group = Path(UNIFIED) / f"skerry-e2e-{os.getpid()}"
        group.mkdir()
        self.addCleanup(testbed.wait_for, "the group is empty", lambda: remove_groups(group))
        self.addCleanup(self.device.stop)  # first
        for path in (group, group / "cgroup.procs", group / "cgroup.subtree_control"):
            os.chown(path, NOBODY, NOBODY)
        self.give_to_nobody()
        enter = 'echo 0 > "$0/cgroup.procs" && exec "$@"'
        self.start_device(before=("sh", "-c", enter, group, *AS_NOBODY))
        self.publish(NEIGHBOUR, "1.0.0", SERVICE)
        daemon = f"setsid env -i /bin/sh -c '/usr/bin/setsid /bin/sleep {self.token} & exit'; exec sleep infinity"
        self.publish(NAME, "1.0.0", daemon)
        self.must_deploy({NAME: "1.0.0"})
        testbed.wait_for("the daemon is up", self.processes)
        self.remove()
        self.assertEqual(self.processes(), [])

    def test_a_stopped_component_is_ended_all_the_same(self):
        self.start_with_neighbour()
        self.publish(NAME, "1.0.0", f"exec sleep {self.token}")
        self.must_deploy({NAME: "1.0.0"})
        for pid in self.processes():
            os.kill(pid, signal.SIGSTOP)
        self.remove()
        self.assertEqual(self.processes(), [])


if __name__ == "__main__":
    e2e.main()
