"""Runs a test of the pages in headless Chromium against a running fleet."""

import os
import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
PASSWORD = "long enough for a test"


def add_operator(program, fleet, name, role):
    subprocess.run([pathlib.Path(program).parent / "skerry", "--dir", str(fleet.directory), "operator", "add", name,
                    "--role", role], check=True, text=True, input=PASSWORD + "\n", timeout=60)


def run_in_browser(test, fleet, scratch, screenshots=""):
    """What `test` (a file beside this one) ends with."""
    cache = os.environ.get("SKERRY_CACHE") or os.path.expanduser("~/.cache/skerry")
    return subprocess.run(
        ["node", HERE / test], timeout=280,
        env={**os.environ, "URL": fleet.info["console_url"], "SCREENSHOTS": screenshots, "PROFILE": scratch + "/profile",
             "MODULES": os.environ.get("SKERRY_MODULES", cache + "/npm/node_modules")}).returncode
