"""skerry cascade, skerry filter and skerry model reference|drift on data whose truth is known by construction.

    hybrid_commands_test.py BIN_DIR
"""

import json
import pathlib
import subprocess
import tempfile
import unittest

import numpy as np
from skerry_program import skerry


def answer(*words):
    return json.loads(skerry(*words, "--json").stdout)


def message(*words, code=1):
    return skerry(*words, code=code).stderr


class HybridCommands(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="skerry-hybrid-")
        self.addCleanup(scratch.cleanup)
        self.scratch = pathlib.Path(scratch.name)
        self.rng = np.random.default_rng(11)

    def table(self, name, **columns):
        path = self.scratch / name
        rows = [",".join("" if value != value else f"{float(value):.9g}" for value in row) for row in zip(*columns.values())]
        path.write_text("\n".join([",".join(columns), *rows]) + "\n")
        return path

    def test_a_cascades_threshold_keeps_its_promise_on_other_data(self):
        def draw(count):
            label = self.rng.integers(0, 3, count)
            logits = self.rng.normal(0, 1, (count, 3))
            logits[np.arange(count), label] += self.rng.exponential(3, count)
            bigger = np.where(self.rng.random(count) < 0.97, label, (label + 1) % 3)
            return label, logits, bigger

        label, logits, bigger = draw(3_000)
        data = self.table("calibration.csv", label=label, bigger=bigger,
                          **{f"logit_{i}": 4 * logits[:, i] for i in range(3)})
        for by in ("max", "margin", "entropy"):
            tuned = answer("cascade", "tune", data, "--risk", "0.03", "--by", by)
            self.assertLess(tuned["risk"], 0.03)
            self.assertGreater(tuned["accuracy"], tuned["smallerAccuracy"])
            self.assertTrue(0.02 < tuned["escalated"] < 0.9, tuned)
            self.assertGreater(tuned["temperature"], 2)  # the logits were sharpened
        label, logits, bigger = draw(50_000)
        powers = np.exp(4 * logits / tuned["temperature"])
        p = powers / powers.sum(1, keepdims=True)
        sure = 1 + (p * np.log(p)).sum(1) / np.log(3) >= tuned["threshold"]
        self.assertLessEqual((sure & (logits.argmax(1) != label) & (bigger == label)).mean(), 0.03)
        self.assertIn("threshold", skerry("cascade", "tune", data).stdout)

    def test_what_cannot_be_tuned_says_why(self):
        few = self.table("few.csv", label=[0, 1], bigger=[0, 1], smaller=[0, 1], confidence=[1, 0.5])
        self.assertIn("too few", message("cascade", "tune", few))
        self.assertIn("label", message("cascade", "tune", self.table("none.csv", x=[1])))
        (self.scratch / "text.csv").write_text("label,bigger\n1,apple\n")
        self.assertIn("line 2", message("cascade", "tune", self.scratch / "text.csv"))
        for text in ("", "a,b\n", "a,b\n1\n", "a\n1,2\n"):
            (self.scratch / "bad.csv").write_text(text)
            message("filter", "tune", self.scratch / "bad.csv")
        message("cascade", "tune", few, "--by", "luck", code=2)

    def test_a_filter_is_tuned_run_and_judged(self):
        wanted = self.rng.random(5_000) < 0.04
        score = self.rng.normal(0, 1, 5_000) + 3 * wanted
        tuned = answer("filter", "tune", self.table("scored.csv", score=score, wanted=wanted), "--recall", "0.9")
        self.assertGreaterEqual(tuned["recall"], 0.9)
        self.assertLess(tuned["uploaded"], 0.2)
        config = self.scratch / "filter.yaml"
        config.write_text(f"threshold: {tuned['threshold']}\nsample: 0.05\npreMs: 1000\npostMs: 1000\n")
        items, kept = self.scratch / "items.jsonl", self.scratch / "kept.jsonl"
        items.write_text("".join(json.dumps({"timeMs": 1000 * i, "score": score[i], "bytes": 1000, "n": i}) + "\n"
                                 for i in range(5_000)))
        report = answer("filter", "run", "--config", config, "--in", items, "--out", kept)
        lines = [json.loads(line) for line in kept.read_text().splitlines()]
        self.assertEqual(len(lines), report["uploaded"])
        events = {line["item"]["n"] for line in lines if line["why"] == "event"}
        self.assertEqual(events, set(np.flatnonzero(score >= tuned["threshold"]).tolist()))
        around = {line["item"]["n"] for line in lines}
        self.assertTrue(all({n - 1, n + 1} - {-1, 5_000} <= around for n in events))
        self.assertAlmostEqual(report["saved"], 1 - report["uploaded"] / 5_000)
        piped = subprocess.run([skerry.__globals__["BIN"] / "skerry", "filter", "run", "--config", config],
                               input=items.read_text(), capture_output=True, text=True, check=True).stdout.splitlines()
        self.assertEqual(json.loads(piped[-1])["report"], report)
        self.assertEqual([json.loads(line) for line in piped[:-1]], lines)
        recall = answer("filter", "recall", "--found", "90", "--unflagged", "10000", "--sampled", "1000", "--missed", "1")
        self.assertAlmostEqual(recall["recall"], 0.9)
        self.assertTrue(recall["from"] < 0.9 < recall["to"])
        message("filter", "recall", "--found", "1", "--unflagged", "1", "--sampled", "2", "--missed", "0")
        items.write_text('{"score": 1}\n')
        self.assertIn("line 1", message("filter", "run", "--config", config, "--in", items, "--out", kept))

    def test_drift_is_found_where_it_is_and_nowhere_else(self):
        def draw(count, shift):
            return {"stable": self.rng.normal(0, 1, count), "moved": self.rng.normal(shift, 1, count),
                    "sparse": np.where(self.rng.random(count) < 0.05, np.nan, self.rng.exponential(1, count))}

        reference = self.scratch / "reference.json"
        answer("model", "reference", self.table("train.csv", **draw(5_000, 0)), "--out", reference)
        self.assertIn("exists", message("model", "reference", self.table("train.csv", **draw(10, 0)), "--out", reference))
        parts = [draw(3_000, 0), draw(1_000, 0.8)]
        today = self.table("today.csv", **{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
        windows = answer("model", "drift", reference, today, "--window", "500")["windows"]
        self.assertEqual([each["drifted"] for each in windows], [0] * 6 + [1] * 2)
        found = {each["name"]: each for each in windows[-1]["features"]}
        self.assertTrue(found["moved"]["drifted"])
        self.assertAlmostEqual(found["moved"]["wasserstein"], 0.8, delta=0.15)
        self.assertIn("2 of 8 windows", skerry("model", "drift", reference, today, "--window", "500").stdout)
        gone = self.table("gone.csv", stable=self.rng.normal(0, 1, 600))
        [window] = answer("model", "drift", reference, gone, "--window", "600")["windows"]
        self.assertEqual([each["name"] for each in window["features"] if each["drifted"]], ["moved", "sparse"])
        self.assertIn("no column", message("model", "drift", reference, self.table("other.csv", x=[1, 2])))
        reference.write_text("{}")
        self.assertIn("format", message("model", "drift", reference, today))


if __name__ == "__main__":
    unittest.main()
