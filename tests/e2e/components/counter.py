"""Puts 1 into the metric Frames with the stock SDK, N times; says how many were acknowledged.

    counter.py N
"""

import sys
import threading
import time

from awsiot.greengrasscoreipc import model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

client = GreengrassCoreIPCClientV2()
count = int(sys.argv[1])
for i in range(count):
    client.put_component_metric(metrics=[
        model.Metric(name="Frames", unit=model.MetricUnitType.COUNT, value=1),
        model.Metric(name="Wait", unit=model.MetricUnitType.SECONDS, value=0.001 * (i + 1))])
    time.sleep(0.02)
print(f"{count} were taken", flush=True)
threading.Event().wait()
