"""The chapter of `./dev demo` with a handful of devices: a release that does not start is found out on the canaries, and
the other devices are never asked."""

import json

import packages
import stage
import testbed
from testbed import Failure

GROUP = "line-b"
LABELLER = "com.example.Labeller"
DEVICES, CANARIES = 6, 3
PLAN = {"stages": [{"devices": CANARIES}, {"percent": 100}]}
RUNS = {"1.0.0": "exec sleep 1000000", "1.1.0": "echo 'no printer' >&2; exit 1"}


def play(bed, screen):
    """What it measured."""
    fleet = bed.fleet
    fleet.cli("group", "create", GROUP)
    devices = [bed.device(f"labeller-{number}") for number in range(1, DEVICES + 1)]
    for device in devices:
        device.provision("--group", GROUP)
        device.start()
    for version, run in RUNS.items():
        fleet.cli("component", "publish", packages.shell(bed.directory / "packages" / f"labeller-{version}", LABELLER,
                                                         version, run))
    failed = [state for state in fleet.deploy(GROUP, {LABELLER: "1.0.0"}) if state[1] != "SUCCEEDED"]
    if failed:
        raise Failure(f"the labellers did not get their first version: {failed}")
    plan = bed.directory / "canaries.json"
    plan.write_text(json.dumps(PLAN))
    screen.step("rollout", f"{LABELLER} 1.1.0 to {CANARIES} of {DEVICES} devices, then to all")
    started = fleet.cli("rollout", "start", "--group", GROUP, "--component", f"{LABELLER}=1.1.0", "--rollout", plan)
    follower = stage.Follower(fleet, screen, started["rolloutId"])
    rollout = testbed.wait_for("the labellers' rollout is over", lambda: follower.look_until_over(), 120, alive=devices)
    if rollout["phase"] != "rolledBack":
        raise Failure(f"the labellers' release is {rollout['phase']}: {rollout['reason']}")
    for device in devices:
        if device.components().get(LABELLER) != ("1.0.0", "RUNNING"):
            raise Failure(f"{device.thing} does not run what it did: {device.components()}")
    return {"canary_devices": DEVICES, "canaries_asked": rollout["devices"]["asked"]}
