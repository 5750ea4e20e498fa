"""`./dev demo optimise`: a classifier of Fashion-MNIST in floats, as its training left it, and 10,000 labelled images:
candidates are made, measured in ONNX Runtime, and the fastest that keeps its accuracy is written with a report.

Every number that is printed comes from that report.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(ROOT / "tools")]

import fashion_mnist  # noqa: E402
import screen as screens  # noqa: E402
import testbed  # noqa: E402

BIN = Path(os.environ.get("SKERRY_BIN_DIR") or ROOT / "build/release/bin")


def optimise(arguments, folder):
    library = testbed.CACHE / "onnxruntime/lib/libonnxruntime.so"
    command = [BIN / "skerry", "--json", "model", "optimise", fashion_mnist.MODEL, "-o", arguments.out or folder / "best",
               "--data", fashion_mnist.write("t10k-images-idx3-ubyte", folder),
               "--labels", fashion_mnist.write("t10k-labels-idx1-ubyte", folder), "--divide", "255",
               "--engine", f"onnxruntime={library}", "--goal", arguments.goal,
               "--max-accuracy-drop", arguments.max_accuracy_drop]
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit("demo: skerry model optimise failed")
    return json.loads(done.stdout)


def show(screen, report):
    screen.heading("Candidates, each measured in a process of its own, in turns")
    for number, trial in enumerate(report["trials"]):
        accuracy = f"{100 * trial['accuracy']:.2f} %" if "accuracy" in trial else "-"
        text = (f"{trial['minUs']:8.1f} µs {trial['bytes'] / 1000:8.1f} kB {accuracy:>9} "
                f"{trial['refusal'] or ('← chosen' if number == report['winner'] else '')}")
        screen.line(f"  {trial['candidate']:<16} {text}")
    screen.heading("Passes that found something")
    for one in report["passes"]:
        if one["changes"]:
            screen.line(f"  {one['name']:<24} {one['changes']:3} places, {one['nodesRemoved']} nodes less: {one['what']}")


def main():
    parser = argparse.ArgumentParser(prog="./dev demo optimise", description=__doc__.split("\n", 1)[0],
                                     epilog="Example: ./dev demo optimise --once")
    parser.add_argument("--once", action="store_true", help="the last line is a JSON summary")
    parser.add_argument("--goal", default="latency", choices=["latency", "size", "memory"])
    parser.add_argument("--max-accuracy-drop", default="0.5%", help="default: 0.5%%")
    parser.add_argument("--out", type=Path, help="folder for the result (default: a scratch folder, which is kept)")
    arguments = parser.parse_args()
    if not fashion_mnist.DATA.is_dir():
        sys.exit(f"demo: {fashion_mnist.MISSING}")
    screen = screens.Screen()
    folder = Path(tempfile.mkdtemp(prefix="skerry-optimise-"))
    screen.step("optimise", f"{fashion_mnist.MODEL.relative_to(ROOT)}, for {arguments.goal}, at most {arguments.max_accuracy_drop} lost")
    report = optimise(arguments, folder)
    show(screen, report)
    base, best = report["trials"][0], report["trials"][report["winner"]]
    out = arguments.out or folder / "best"
    screen.heading(report["verdict"])
    screen.line(f"The report, for a browser: {out}/report.html")
    if arguments.once:
        summary = {"fp32_us": round(base["minUs"], 1), "best_us": round(best["minUs"], 1), "engine": best["engine"],
                   "candidate": best["candidate"], "size_ratio": round(base["bytes"] / best["bytes"], 2),
                   "accuracy_drop_points": round(100 * best["accuracyDrop"], 2), "seconds": round(report["seconds"], 1)}
        screen.line(f"demo: ok {json.dumps(summary)}")
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
