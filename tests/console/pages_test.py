"""The console in headless Chromium: a person logs in, searches, deploys and cancels.

    pages_test.py SKERRY_FLEET [FOLDER FOR SCREENSHOTS]
"""

import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "fleet"))
from fleet import Fleet  # noqa: E402

XSS = '<img src=x onerror="document.title=\'owned\'">'


def seed(fleet):
    """Two groups, 120 devices, one with hostile attributes, components, a deployment."""
    iot, greengrass = fleet.client("iot"), fleet.client("greengrassv2")
    for group in ("plant", "yard"):
        iot.create_thing_group(thingGroupName=group)
    for number in range(120):
        name = f"press-{number:03}"
        iot.create_thing(thingName=name, attributePayload={"attributes": {"site": f"hall-{number % 4}"}})
        if number < 3:
            iot.add_thing_to_thing_group(thingName=name, thingGroupName="plant")
    for version in ("1.0.0", "1.1.0"):
        fleet.publish("com.example.Detector", version)
    greengrass.create_deployment(targetArn=fleet.arn("iot", "thinggroup/yard"), deploymentName=XSS,
                                 components={"com.example.Detector": {"componentVersion": "1.0.0"}})


def main():
    program = sys.argv[1]
    screenshots = sys.argv[2] if len(sys.argv) > 2 else ""
    with tempfile.TemporaryDirectory(prefix="skerry-pages-") as scratch:
        fleet = Fleet(program, scratch + "/fleet")
        try:
            seed(fleet)
            subprocess.run([pathlib.Path(program).parent / "skerry", "--dir", str(fleet.directory),
                            "operator", "add", "ada", "--role", "admin"], check=True, text=True,
                           input="long enough for a test\n", timeout=60)
            cache = os.environ.get("SKERRY_CACHE") or os.path.expanduser("~/.cache/skerry")
            code = subprocess.run(
                ["node", HERE / "pages_test.mjs"], timeout=240,
                env={**os.environ, "URL": fleet.info["console_url"], "SCREENSHOTS": screenshots,
                     "MODULES": os.environ.get("SKERRY_MODULES", cache + "/npm/node_modules"), "PROFILE": scratch + "/profile"}).returncode
        finally:
            fleet.stop()
    return code


if __name__ == "__main__":
    sys.exit(main())
