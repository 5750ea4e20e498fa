"""Stock clients of StatsD and OpenTelemetry on a device: what they say adds up to the same in the device's ring, in a scrape and
at the fleet; promtool finds nothing to complain of where it is there.

    local_metrics_test.py BIN_DIR
"""

import json
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path

import e2e
import statsd
import testbed
import yaml
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource


class LocalMetrics(e2e.EndToEnd):
    def setUp(self):
        super().setUp()
        config = yaml.safe_load(self.device.config_path.read_text())
        config["services"]["aws.greengrass.Nucleus"]["configuration"]["skerry"] = {
            "metricsIntervalMs": 300, "statsdPort": 0, "metricsPort": 0}
        self.device.config_path.write_text(json.dumps(config))
        self.start_device()
        self.ports = {name: int(self.device.wait_for_log("metrics", f"{name} is heard")["port"])
                      for name in ("StatsD", "OTLP")}
        ring = Path(self.device.directory) / "root/metrics"
        testbed.wait_for("the device has a ring", lambda: any(ring.glob("*.metrics")), alive=[self.device])

    def series(self, answer, component, name):
        return next((each for each in answer["series"] if (each["component"], each["name"]) == (component, name)),
                    {"count": 0, "sum": 0})

    def scrape(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['OTLP']}/metrics", timeout=10) as answer:
            return answer.read().decode()

    def test_stock_clients(self):
        client = statsd.StatsClient("127.0.0.1", self.ports["StatsD"], prefix="app")
        with client.pipeline() as pipe:  # few datagrams: what comes faster than it is read is lost, as UDP has it
            for number in range(100):
                pipe.incr("hits")
                pipe.timing("wait", number)
                pipe.gauge("level", number)
            pipe.gauge("level", -9, delta=True)
        client.close()

        exporter = OTLPMetricExporter(endpoint=f"http://127.0.0.1:{self.ports['OTLP']}/v1/metrics")
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
        provider = MeterProvider([reader], Resource.create({"service.name": "com.example.Vision"}))
        meter = provider.get_meter("test")
        frames, latency = meter.create_counter("frames"), meter.create_histogram("latency", "ms")
        queue = meter.create_up_down_counter("queue")
        for number in range(50):
            frames.add(2, {"camera": "left" if number % 2 else "right"})
            latency.record(number)
            queue.add(1)
            if number in (10, 30):
                self.assertTrue(provider.force_flush())  # cumulative: each says all of it again
        self.assertTrue(provider.force_flush())
        provider.shutdown()

        expected = {("StatsD", "app.hits"): (100, 100), ("StatsD", "app.wait"): (100, sum(range(100)) / 1000),
                    ("com.example.Vision", "frames"): (None, 100),
                    ("com.example.Vision", "latency"): (50, sum(range(50)) / 1000)}
        for where, ask in (("device", lambda: self.fleet.cli("device", "metrics", self.device.directory)),
                           ("fleet", lambda: self.fleet.cli("metrics", e2e.THING))):
            for (component, name), (count, total) in expected.items():
                testbed.wait_for(f"{name} at the {where}", lambda: abs(
                    self.series(ask(), component, name)["sum"] - total) < 1e-4, alive=[self.device])
                if count:
                    self.assertEqual(self.series(ask(), component, name)["count"], count)
            self.assertEqual(self.series(ask(), "StatsD", "app.level")["last"], 90)
            self.assertEqual(self.series(ask(), "com.example.Vision", "queue")["last"], 50)

        text = self.scrape()
        for (component, name), (_, total) in expected.items():
            found = re.search(rf'skerry_metric_sum{{component="{component}",metric="{name}",unit="\w+"}} (\S+)', text)
            self.assertAlmostEqual(float(found[1]), total, places=4)
        if promtool := shutil.which("promtool"):
            checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True,
                                     check=False)
            self.assertEqual((checked.returncode, checked.stdout + checked.stderr), (0, ""))

    def test_a_flood_of_names_is_bounded(self):
        client = statsd.StatsClient("127.0.0.1", self.ports["StatsD"])
        for number in range(2_000):
            client.incr(f"request.{number}")
        testbed.wait_for("they are refused", lambda: self.series(
            self.fleet.cli("device", "metrics", self.device.directory), "SystemMetrics", "MetricsRefused")["sum"] > 0)
        self.device.check_alive()


if __name__ == "__main__":
    e2e.main()
